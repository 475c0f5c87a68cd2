"""Metrics and logs, and the masking of secrets in them."""
