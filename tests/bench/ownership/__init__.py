"""Processes that share channels: how long these pause when one goes away."""
