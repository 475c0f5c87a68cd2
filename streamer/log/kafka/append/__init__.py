"""Ingest's side of the log: events and checkpoints, committed in one transaction."""
