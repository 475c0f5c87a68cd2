"""Repairs of holes."""
