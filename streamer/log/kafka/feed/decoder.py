"""Records of the partitions that are ours, turned into entries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from confluent_kafka import Message

from streamer.clock import Clock
from streamer.errors import UnreadableEvent
from streamer.events import Entry, Event, Partition
from streamer.log.kafka.cluster.record import Headers
from streamer.log.kafka.feed.partition_buffer import Stretch
from streamer.log.kafka.feed.unreadable import dead_letter
from streamer.log.kafka.progress.assignment import Holding
from streamer.log.kafka.records.events import decode, event_type
from streamer.log.patterns import wants
from streamer.ports import Subscription, Wants


class Reading:
    """What is ours, and what was read of it since it was last handed over."""

    def __init__(self, subscription: Subscription, clock: Clock) -> None:
        """Hold nothing yet."""
        self._subscriber = subscription.subscriber
        self._wanted = wants(subscription.patterns)
        self._clock = clock
        self._by_name: dict[tuple[str | None, int | None], Holding] = {}
        self._fresh: dict[Partition, Stretch] = {}
        self.holdings: dict[Partition, Holding] = {}

    def hold(self, holdings: Iterable[Holding]) -> None:
        """Begin to read partitions."""
        for holding in holdings:
            partition = holding.partition
            self.holdings[partition] = holding
            self._by_name[partition.topic, partition.number] = holding

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions, and what was read of them."""
        for partition in partitions:
            self.holdings.pop(partition, None)
            self._by_name.pop((partition.topic, partition.number), None)
            self._fresh.pop(partition, None)

    def sort(self, message: Message) -> None:
        """Take in a record; one of a partition that was lost meanwhile is passed over."""
        holding = self._by_name.get((message.topic(), message.partition()))
        offset = message.offset()
        if holding is None or offset is None:
            return
        stretch = self.reached(holding.partition, offset + 1)
        # A tombstone says that a record is gone, and nothing else.
        if offset in holding.settled_above or (value := message.value()) is None:
            return
        try:
            event = event_of(message, value, self._wanted)
        except UnreadableEvent as exc:
            holding.unreadable[offset] = dead_letter(
                message, holding.partition, exc, by=self._subscriber, now=self._clock.now()
            )
            return
        if event is not None:
            stretch.entries.append(
                Entry(partition=holding.partition, offset=offset, event=event, size=len(value))
            )

    def reached(self, partition: Partition, through: int) -> Stretch:
        """Note that everything below `through` was read."""
        stretch = self._fresh.get(partition)
        if stretch is None:
            stretch = self._fresh[partition] = Stretch(through=through)
        elif stretch.through < through:
            stretch.through = through
        return stretch

    @property
    def touched(self) -> Sequence[Partition]:
        """The partitions of which something was read since."""
        return list(self._fresh)

    def take(self) -> Mapping[Partition, Stretch]:
        """Return what was read since the last time."""
        fresh, self._fresh = self._fresh, {}
        return fresh

    @property
    def unreadable(self) -> int:
        """How many dead letters wait for a settlement of their partitions."""
        return sum(len(holding.unreadable) for holding in self.holdings.values())


def event_of(message: Message, value: bytes, wanted: Wants) -> Event | None:
    """Return the event that a record with `value` holds, if its type is wanted; raises `UnreadableEvent`."""
    # A header's value is bytes wherever it was not we who made the message.
    headers = cast("Headers | None", message.headers())
    type_ = event_type(headers)
    if type_ and not wanted(type_):
        return None
    return decode(message.key(), value, headers)
