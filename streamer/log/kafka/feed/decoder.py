"""Decoder that turns Kafka records into entries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from confluent_kafka import Message

from streamer.clock import Clock
from streamer.errors import UnreadableEvent
from streamer.events import DeadLetter, Entry, Event, Partition, Stage, SubscriberName
from streamer.log.kafka.cluster.producer import Headers
from streamer.log.kafka.feed.buffer import ReadRange
from streamer.log.kafka.records.events import decode, event_type
from streamer.log.kafka.records.forwarded import decode_forwarded
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.patterns import wants
from streamer.ports import Subscription

_CHANNEL_HEADER = "ce_sfchannel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPartition:
    """Partition that is read under one assignment; the reader skips the offsets in `settled_above`."""

    partition: Partition
    assignment: int
    settled_above: frozenset[int]


class RecordDecoder:
    """Decodes the records of several partitions, and collects the results until `take`."""

    def __init__(self, subscription: Subscription, clock: Clock, schemas: SchemaReaders) -> None:
        self.subscriber = subscription.subscriber
        self._read = EventReader(subscription, schemas)
        self._clock = clock
        self._by_name: dict[tuple[str | None, int | None], ReadPartition] = {}
        self._fresh: dict[Partition, ReadRange] = {}

    @property
    def partitions(self) -> Sequence[Partition]:
        """Partitions that the decoder reads."""
        return [each.partition for each in self._by_name.values()]

    @property
    def touched(self) -> Sequence[Partition]:
        """Partitions that have results since the last `take`."""
        return list(self._fresh)

    def begin(self, read_partition: ReadPartition) -> None:
        """Add a partition to decode."""
        partition = read_partition.partition
        self._by_name[partition.topic, partition.number] = read_partition

    def end(self, partition: Partition) -> None:
        """Remove a partition and its results."""
        self._by_name.pop((partition.topic, partition.number), None)
        self._fresh.pop(partition, None)

    def find(self, message: Message) -> ReadPartition | None:
        """Return the partition of `message`, or `None` if the decoder no longer reads this partition."""
        return self._by_name.get((message.topic(), message.partition()))

    def sort(self, message: Message) -> None:
        """Decode a record; ignore it if its partition was lost in the meantime.

        Raises `LogUnavailable` if the registry does not give the record's schema now. The
        caller then calls again with the same record, before it calls `take`.
        """
        read_partition = self.find(message)
        offset = message.offset()
        if read_partition is None or offset is None:
            return
        read_range = self._reached(read_partition, offset + 1)
        # A tombstone only says that a record was removed.
        if offset in read_partition.settled_above or (value := message.value()) is None:
            return
        partition = read_partition.partition
        try:
            event = self._read.event(message, value)
        except UnreadableEvent as exc:
            read_range.unreadable[offset] = dead_letter(
                message, partition, exc, by=self.subscriber, now=self._clock.now()
            )
            return
        if event is not None:
            read_range.entries.append(Entry(partition=partition, offset=offset, event=event, size=len(value)))

    def reached(self, partition: Partition, through: int, end: int = 0) -> None:
        """Note that a partition was read up to the offset `through`; `end` is its end offset, if known."""
        if read_partition := self._by_name.get((partition.topic, partition.number)):
            read_range = self._reached(read_partition, through)
            read_range.end = max(read_range.end, end)

    def take(self) -> Mapping[Partition, ReadRange]:
        """Return and forget the results since the last call."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    def _reached(self, read_partition: ReadPartition, through: int) -> ReadRange:
        read_range = self._fresh.get(read_partition.partition)
        if read_range is None:
            read_range = ReadRange(assignment=read_partition.assignment, through=through)
            self._fresh[read_partition.partition] = read_range
        elif read_range.through < through:
            read_range.through = through
        return read_range


class EventReader:
    """Extracts the events that a subscriber wants from records."""

    def __init__(self, subscription: Subscription, schemas: SchemaReaders) -> None:
        self._wanted = wants(subscription.patterns)
        self._decode: Callable[[bytes | None, bytes, Headers | None], Event] = (
            decode_forwarded if subscription.after else partial(decode, schemas=schemas)
        )

    def event(self, message: Message, value: bytes) -> Event | None:
        """Return the event in a record, or `None` if the event is unwanted; raises the errors of `decode`."""
        # A header's value is always bytes in a consumed message.
        headers = cast("Headers | None", message.headers())
        type_ = event_type(headers)
        if type_ and not self._wanted(type_):
            return None
        return self._decode(message.key(), value, headers)


def dead_letter(
    message: Message, partition: Partition, error: UnreadableEvent, *, by: SubscriberName, now: float
) -> DeadLetter:
    """Return the dead letter of `message` with its bytes; the same record always has the same id."""
    place = f"{partition.topic}/{partition.number}/{message.offset()}"
    channel = dict(message.headers() or ()).get(_CHANNEL_HEADER)
    return DeadLetter(
        id=f"{by}:{place}",
        stage=Stage.DISPATCH,
        channel=channel.decode("utf-8", "replace") if isinstance(channel, bytes) else "",
        reason="unreadable",
        error=f"{error} (at {place})",
        hint="find out which program wrote the record; the program can be a newer version of Streamer",
        failed_at=now,
        first_failed_at=now,
        raw=message.value() or b"",
        subscriber=by,
    )
