"""Dispatch: events from Kafka to an HTTP target."""
