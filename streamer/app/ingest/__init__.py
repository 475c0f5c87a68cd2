"""Ingest side of a daemon: its channels, their repairs, and the snapshots that operators order."""
