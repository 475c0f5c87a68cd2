"""Delivery progress: settled events, and the log's record of them."""
