"""Faults of the Streaming API: the catalogue, and the armed ones."""
