"""Delivery of events from the log to the targets, in order for each key, with retries."""
