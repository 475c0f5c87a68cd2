"""Kafka plugin, which writes events in the subscriber's shape into a topic of any cluster."""

from subscribers.kafka.plugin import Kafka

__all__ = ["Kafka"]
