"""Ingest side of a daemon: channels, repairs, and ordered snapshots."""
