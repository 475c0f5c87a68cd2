"""Queues of undelivered events, one for each key."""
