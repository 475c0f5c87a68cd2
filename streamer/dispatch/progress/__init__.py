"""Delivery progress: settled events, and their records in the log."""
