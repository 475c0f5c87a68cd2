"""Subscribers that come after each other: the events and receipts that each one gets."""
