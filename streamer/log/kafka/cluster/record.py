"""Records and partitions, in the form that librdkafka takes and gives."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import TopicPartition

from streamer.events import Partition

ANY_PARTITION = -1

Headers = Sequence[tuple[str, bytes]]
"""The headers of a record that was read."""

WrittenHeaders = dict[str, str | bytes | None]
"""The headers of a record to write: a dictionary costs less than pairs, event by event."""


class Record(NamedTuple):
    """What is produced, in the order in which the producer takes it.

    `timestamp_ms` is when an event was committed, by which a subscriber can
    begin at a time; zero means the present.
    """

    topic: str
    value: bytes
    key: bytes
    partition: int
    headers: WrittenHeaders
    timestamp_ms: int = 0

    @property
    def read_headers(self) -> Headers:
        """The headers as a reader gets them; text that UTF-8 cannot hold has question marks."""
        return [
            (name, value.encode("utf-8", "replace") if isinstance(value, str) else value or b"")
            for name, value in self.headers.items()
        ]


class Tombstone(NamedTuple):
    """What removes the record of a key from a compacted topic."""

    topic: str
    key: bytes
    partition: int


def as_partition(place: TopicPartition) -> Partition:
    """Return the partition of a place."""
    return Partition(topic=place.topic, number=place.partition)


def as_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return the places of `partitions`, without offsets."""
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]
