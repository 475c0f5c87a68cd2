"""The partitions of a consumer that are not fetched at the moment."""

from collections.abc import Collection

from confluent_kafka import Consumer

from streamer.events import Partition
from streamer.log.kafka.cluster.record import as_topic_partitions


class PausedPartitions:
    """Pauses partitions of one consumer and lets them go on, at the place where they were."""

    def __init__(self, consumer: Consumer) -> None:
        """Hold nothing back."""
        self._consumer = consumer
        self.held: frozenset[Partition] = frozenset()

    def set(self, wanted: frozenset[Partition]) -> None:
        """Hold back `wanted`, which the consumer reads, and no others."""
        if new := wanted - self.held:
            self._consumer.pause(as_topic_partitions(new))
        self.release(self.held - wanted)
        self.held = wanted

    def release(self, partitions: Collection[Partition]) -> None:
        """Let those of `partitions` go on that are held back."""
        if held := self.held.intersection(partitions):
            self._consumer.resume(as_topic_partitions(held))
            self.held -= held
