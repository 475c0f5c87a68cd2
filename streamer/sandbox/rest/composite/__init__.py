"""Composite family of the REST API: many calls, or many records, in one call."""
