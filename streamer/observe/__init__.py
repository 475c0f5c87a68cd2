"""Metrics, logs and signs of life."""
