"""Metrics, logs and traces, with masked secrets."""
