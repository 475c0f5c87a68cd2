"""Dispatch's side of the log, settling: progress as committed offsets of the group."""
