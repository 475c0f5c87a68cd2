"""Avro payloads: of events that are sent, and of those that clients publish."""
