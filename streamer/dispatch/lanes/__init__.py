"""Lanes: queues of undelivered events, one for each key."""
