"""Dispatch's settling side of the log: progress as committed offsets of the consumer group."""
