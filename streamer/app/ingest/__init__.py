"""Ingest side of a daemon: its channels, their repairs, and ordered snapshots."""
