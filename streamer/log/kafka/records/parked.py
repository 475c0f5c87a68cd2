"""Records of a subscriber's parked topic.

A lane has one small record with its setback. Each event of the lane has one record
for every chunk of its body. So a retry replaces only a few bytes, and never an
event body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from streamer.events import Entry, Partition, Setback, SubscriberName
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import Headers, ProducerRecord, Tombstone
from streamer.log.kafka.records.events import split
from streamer.log.records import encode_event, encode_setback
from streamer.settings import KafkaLogSettings

_PARTS = "parts"
_JSON = b"application/json"
_LEAST_FIELDS = 3
_MOST_FIELDS = 5
# A header must not decide how much memory Streamer allocates. An event has 4 MB at most.
_MOST_CHUNKS = 64


class ParkedRecordKey(NamedTuple):
    """Key of a record: it names a lane of a source partition, or a chunk of an event in the lane.

    The key is written as a JSON array without trailing default values.
    """

    topic: str
    number: int
    lane: str
    offset: int | None = None
    chunk: int = 0

    def encode(self) -> bytes:
        """Return the key as bytes."""
        fields = [self.topic, self.number, self.lane, self.offset, self.chunk]
        return orjson.dumps(fields[:3] if self.offset is None else fields[: 5 if self.chunk else 4])

    @classmethod
    def decode(cls, key: bytes | None) -> "ParkedRecordKey":
        """Return the key that `encode` wrote; raises `ValueError` for any other bytes."""
        fields = orjson.loads(key or b"")
        if not isinstance(fields, list) or not _LEAST_FIELDS <= len(fields) <= _MOST_FIELDS:
            raise ValueError("the record's key is not a list of three to five fields")
        found = cls(*fields)
        if not (
            (isinstance(found.topic, str) and isinstance(found.lane, str))
            and all(type(number) is int for number in (found.number, found.chunk))
            and (found.offset is None or type(found.offset) is int)
            and 0 <= found.chunk < _MOST_CHUNKS
        ):
            raise ValueError("a field of the record's key has a wrong type")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedTopic:
    """The parked topic of one subscriber; `partitions` is its number of partitions."""

    name: str
    partitions: int

    @classmethod
    def of(cls, settings: KafkaLogSettings, subscriber: SubscriberName) -> "ParkedTopic":
        """Return the parked topic that follows from `settings`."""
        return cls(name=Names.of(settings).parked(subscriber), partitions=settings.parked_partitions)

    def home(self, source: Partition) -> int:
        """Return the partition with all records of the partition `source`; it is the same for every owner."""
        return partition_of(f"{source.topic}/{source.number}".encode(), self.partitions)

    def lane(self, source: Partition, lane: str, setback: Setback) -> ProducerRecord:
        """Return the record of a lane's setback."""
        key = ParkedRecordKey(source.topic, source.number, lane).encode()
        return ProducerRecord(
            self.name, encode_setback(setback), key, self.home(source), {"content-type": _JSON}
        )

    def event(self, entry: Entry, lane: str) -> list[ProducerRecord]:
        """Return the records of a parked event, one for each chunk of its body."""
        chunks = split(encode_event(entry.event))
        about = {_PARTS: b"%d" % len(chunks), "content-type": _JSON}
        home = self.home(entry.partition)
        keys = event_keys(entry.partition, lane, entry.offset, len(chunks))
        return [
            ProducerRecord(self.name, chunk, key, home, {**about})
            for chunk, key in zip(chunks, keys, strict=True)
        ]

    def without(self, source: Partition, keys: Sequence[bytes]) -> list[Tombstone]:
        """Return the tombstones of `keys`."""
        home = self.home(source)
        return [Tombstone(self.name, key, home) for key in keys]


def lane_key(source: Partition, lane: str) -> bytes:
    """Return the key of a lane's record."""
    return ParkedRecordKey(source.topic, source.number, lane).encode()


def event_keys(source: Partition, lane: str, offset: int, chunks: int) -> list[bytes]:
    """Return the keys of the records of an event with this many chunks."""
    return [
        ParkedRecordKey(source.topic, source.number, lane, offset, chunk).encode() for chunk in range(chunks)
    ]


def chunk_count(headers: Headers | None) -> int:
    """Return the number of an event's chunks, from the headers of one chunk.

    Raises `ValueError`.
    """
    chunks = int(dict(headers or ()).get(_PARTS, b"1"))
    if not 1 <= chunks <= _MOST_CHUNKS:
        raise ValueError(f"the record's header has the invalid number of parts {chunks}")
    return chunks
