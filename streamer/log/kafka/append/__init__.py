"""Ingest's side: events and checkpoints, committed in one transaction."""
