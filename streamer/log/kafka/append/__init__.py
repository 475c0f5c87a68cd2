"""Ingest's side of the log: it commits events and checkpoints in one transaction."""
