"""Chains of subscribers (`after`): forwarding of events with receipts, and joining of events' halves."""
