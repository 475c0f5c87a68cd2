"""Records and partitions, in librdkafka's form."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import TopicPartition

from streamer.events import Partition

ANY_PARTITION = -1

Headers = Sequence[tuple[str, bytes]]
"""Headers of a consumed record."""

WrittenHeaders = dict[str, str | bytes | None]
"""Headers of a record to write: a dictionary costs less than pairs, event by event."""


class Record(NamedTuple):
    """A record to produce; its fields are in the order of the producer's arguments.

    `timestamp_ms` is the commit time of an event, at which a subscriber can
    start; zero means now.
    """

    topic: str
    value: bytes
    key: bytes
    partition: int
    headers: WrittenHeaders
    timestamp_ms: int = 0

    @property
    def read_headers(self) -> Headers:
        """Headers as a reader gets them; text that UTF-8 cannot hold has question marks."""
        return [
            (name, value.encode("utf-8", "replace") if isinstance(value, str) else value or b"")
            for name, value in self.headers.items()
        ]


class Tombstone(NamedTuple):
    """A record that removes the record of its key from a compacted topic."""

    topic: str
    key: bytes
    partition: int


def as_partition(place: TopicPartition) -> Partition:
    """Return the partition of `place`."""
    return Partition(topic=place.topic, number=place.partition)


def as_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return `partitions` as librdkafka's, without offsets."""
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]
