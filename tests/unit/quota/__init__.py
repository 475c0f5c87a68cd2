"""Limits of the org."""
