"""Dispatch's side of the log, reading: one consumer group for each subscriber."""
