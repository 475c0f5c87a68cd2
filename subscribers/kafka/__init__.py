"""Kafka plugin: writes events in another shape into a topic of any cluster."""

from subscribers.kafka.plugin import Kafka

__all__ = ["Kafka"]
