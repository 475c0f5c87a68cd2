"""Schemas and codecs of records."""
