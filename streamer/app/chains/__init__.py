"""Chains of subscribers: the events and receipts that each subscriber gets."""
