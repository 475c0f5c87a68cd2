"""Faults of the Streaming API and the Pub/Sub API: the catalogue, and the armed faults."""
