"""SOQL queries over REST: in pages, and the metadata of their columns."""
