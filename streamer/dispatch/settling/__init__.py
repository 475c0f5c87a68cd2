"""Settling: what an attempt came to, and what follows from it for its lane, the target and the log."""
