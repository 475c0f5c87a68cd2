"""Ingest's side of the log, which commits events and checkpoints in one transaction."""
