"""Dispatch's reading side of the log: each subscriber has a consumer group."""
