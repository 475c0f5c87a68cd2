"""Org in memory: records, schema, and the events of their changes."""
