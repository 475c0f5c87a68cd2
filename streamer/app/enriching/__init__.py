"""Enrichment: the look-ups of subscribers, and what makes them."""
