"""Readers for operators, without a consumer group: searches, new events, and subscribers' records."""
