"""The log in Kafka."""

from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog

__all__ = ["KafkaHistory", "KafkaLog"]
