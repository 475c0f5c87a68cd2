"""Paused partitions of a consumer."""

from collections.abc import Collection

from confluent_kafka import Consumer

from streamer.events import Partition
from streamer.log.kafka.cluster.record import as_topic_partitions


class PausedPartitions:
    """Pauses partitions of one consumer, and resumes them at the same position."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.held: frozenset[Partition] = frozenset()

    def set(self, wanted: frozenset[Partition]) -> None:
        """Pause exactly the partitions in `wanted`, which the consumer reads."""
        if new := wanted - self.held:
            self._consumer.pause(as_topic_partitions(new))
        self.release(self.held - wanted)
        self.held = wanted

    def release(self, partitions: Collection[Partition]) -> None:
        """Resume the paused ones of `partitions`."""
        if held := self.held.intersection(partitions):
            self._consumer.resume(as_topic_partitions(held))
            self.held -= held
