"""Schemas of records: Avro and JSON Schema from the org's descriptions, and their registry."""
