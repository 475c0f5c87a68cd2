"""The log in Kafka."""

from streamer.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
