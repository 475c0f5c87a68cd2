"""Avro payloads of the events that the sandbox sends, and of the events that clients publish."""
