"""Processes that share a log in Kafka: their reports about themselves, and the sums of several reports."""
