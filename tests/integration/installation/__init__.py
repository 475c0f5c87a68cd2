"""Streamer as its users install it: the package, the files beside it, and logs of former versions."""
