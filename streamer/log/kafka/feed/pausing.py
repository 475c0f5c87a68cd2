"""The partitions of a consumer of which nothing is to be read at the moment."""

from collections.abc import Collection

from confluent_kafka import Consumer

from streamer.events import Partition
from streamer.log.kafka.cluster.record import as_topic_partitions


class PausedPartitions:
    """Pauses partitions of one consumer and lets them go on, at the place where they were."""

    def __init__(self, consumer: Consumer) -> None:
        """Hold nothing back."""
        self._consumer = consumer
        self._held: frozenset[Partition] = frozenset()

    def set(self, wanted: frozenset[Partition], *, among: Collection[Partition]) -> None:
        """Hold back `wanted`, and of the partitions `among` no others."""
        self.hold(wanted - self._held)
        self.release((self._held - wanted).intersection(among))
        self._held = wanted

    def hold(self, partitions: Collection[Partition]) -> None:
        """Hold back `partitions` too."""
        if partitions:
            self._consumer.pause(as_topic_partitions(partitions))
        self._held = self._held.union(partitions)

    def release(self, partitions: Collection[Partition]) -> None:
        """Let `partitions` go on; a pause outlives the assignment under which it was made."""
        if partitions:
            self._consumer.resume(as_topic_partitions(partitions))
        self._held = self._held.difference(partitions)
