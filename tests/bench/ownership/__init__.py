"""Processes that share channels: the pauses of these channels when a process ends."""
