"""Records of the partitions that are ours, turned into entries."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

from confluent_kafka import Message

from streamer.clock import Clock
from streamer.errors import UnreadableEvent
from streamer.events import DeadLetter, Entry, Event, Partition, Stage, SubscriberName
from streamer.log.kafka.cluster.record import Headers
from streamer.log.kafka.feed.partition_buffer import ReadRange
from streamer.log.kafka.progress.assignment import AssignedPartition, AssignedPartitions
from streamer.log.kafka.records.events import decode, event_type
from streamer.log.patterns import wants
from streamer.ports import Subscription, Wants

_CHANNEL_HEADER = "ce_sfchannel"


class RecordDecoder:
    """What is ours, and what was read of it since it was last handed over."""

    def __init__(self, subscription: Subscription, clock: Clock) -> None:
        """Hold nothing yet."""
        self._subscriber = subscription.subscriber
        self._wanted = wants(subscription.patterns)
        self._clock = clock
        self._by_name: dict[tuple[str | None, int | None], AssignedPartition] = {}
        self._fresh: dict[Partition, ReadRange] = {}
        self.assigned = AssignedPartitions()

    def hold(self, assigned: Iterable[AssignedPartition]) -> None:
        """Begin to read partitions."""
        for assigned_partition in assigned:
            partition = assigned_partition.partition
            self.assigned.add(assigned_partition)
            self._by_name[partition.topic, partition.number] = assigned_partition

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions, and what was read of them."""
        self.assigned.drop(partitions)
        for partition in partitions:
            self._by_name.pop((partition.topic, partition.number), None)
            self._fresh.pop(partition, None)

    def sort(self, message: Message) -> None:
        """Take in a record; one of a partition that was lost meanwhile is passed over."""
        assigned_partition = self._by_name.get((message.topic(), message.partition()))
        offset = message.offset()
        if assigned_partition is None or offset is None:
            return
        read_range = self.reached(assigned_partition.partition, offset + 1)
        # A tombstone says that a record is gone, and nothing else.
        if offset in assigned_partition.settled_above or (value := message.value()) is None:
            return
        try:
            event = event_of(message, value, self._wanted)
        except UnreadableEvent as exc:
            assigned_partition.unreadable[offset] = dead_letter(
                message, assigned_partition.partition, exc, by=self._subscriber, now=self._clock.now()
            )
            return
        if event is not None:
            read_range.entries.append(
                Entry(partition=assigned_partition.partition, offset=offset, event=event, size=len(value))
            )

    def reached(self, partition: Partition, through: int) -> ReadRange:
        """Note that everything below `through` was read."""
        read_range = self._fresh.get(partition)
        if read_range is None:
            read_range = self._fresh[partition] = ReadRange(through=through)
        elif read_range.through < through:
            read_range.through = through
        return read_range

    @property
    def touched(self) -> Sequence[Partition]:
        """The partitions of which something was read since."""
        return list(self._fresh)

    def take(self) -> Mapping[Partition, ReadRange]:
        """Return what was read since the last time."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    @property
    def unreadable(self) -> int:
        """How many dead letters wait for a settlement of their partitions."""
        return sum(len(assigned_partition.unreadable) for assigned_partition in self.assigned.values())


def event_of(message: Message, value: bytes, wanted: Wants) -> Event | None:
    """Return the event that a record with `value` holds, if its type is wanted; raises `UnreadableEvent`."""
    # A header's value is bytes wherever it was not we who made the message.
    headers = cast("Headers | None", message.headers())
    type_ = event_type(headers)
    if type_ and not wanted(type_):
        return None
    return decode(message.key(), value, headers)


def dead_letter(
    message: Message, partition: Partition, error: UnreadableEvent, *, by: SubscriberName, now: float
) -> DeadLetter:
    """Return what is set aside of `message`, with its bytes; the same record gives the same id."""
    place = f"{partition.topic}/{partition.number}/{message.offset()}"
    channel = dict(message.headers() or ()).get(_CHANNEL_HEADER)
    return DeadLetter(
        id=f"{by}:{place}",
        stage=Stage.DISPATCH,
        channel=channel.decode("utf-8", "replace") if isinstance(channel, bytes) else "",
        reason="unreadable",
        error=f"{error} (at {place})",
        hint="find out who wrote it to the topic; a newer Streamer may have",
        failed_at=now,
        first_failed_at=now,
        raw=message.value() or b"",
        subscriber=by,
    )
