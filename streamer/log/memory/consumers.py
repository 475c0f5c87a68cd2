"""Consumers of the in-memory log: the feeds of each subscriber, and its parked events."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from streamer.events import Partition, SubscriberName
from streamer.log.memory.controls import ParkedEvents
from streamer.log.memory.feed import MemoryFeed, can_read


@dataclass(slots=True, kw_only=True)
class MemoryConsumers:
    """Open feeds with the partitions that each feed holds, and the parked events of each subscriber.

    `expected` are the configured subscribers.
    """

    feeds: list[MemoryFeed] = field(default_factory=list)
    parked: dict[SubscriberName, ParkedEvents] = field(default_factory=lambda: defaultdict(ParkedEvents))
    expected: frozenset[SubscriberName] = frozenset()

    @contextmanager
    def joined(self, feed: MemoryFeed, unowned: Collection[Partition]) -> Iterator[None]:
        """Keep `feed` open inside the context; it begins with the partitions `unowned`.

        At the end, another feed of the subscriber takes over the partitions of `feed`.
        """
        self.feeds.append(feed)
        self.reassign(feed.subscriber, unowned, to=feed)
        try:
            yield
        finally:
            self.feeds.remove(feed)
            heir = next(self._of(feed.subscriber), None)
            self.reassign(feed.subscriber, feed.holds, to=heir)

    def reassign(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: MemoryFeed | None
    ) -> None:
        """Move `partitions` at once to the feed `to`, or to another process if `to` is `None`."""
        moved = frozenset(partitions)
        for feed in self._of(subscriber):
            feed.revoke(moved)
        if to is not None and moved:
            to.assign(moved)

    async def hand_over(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: MemoryFeed | None
    ) -> None:
        """Move `partitions` like `reassign`, after the feeds that hold them have released them."""
        moved = frozenset(partitions)
        for feed in self._of(subscriber):
            await feed.let_go(moved)
        self.reassign(subscriber, moved, to=to)

    def assign_new(self, partition: Partition) -> None:
        """Assign a new partition to the first feed of each subscriber that can read the partition."""
        for subscriber in {feed.subscriber for feed in self.feeds if can_read(feed.subscription, partition)}:
            self.reassign(subscriber, [partition], to=next(self._of(subscriber)))

    def held(self, subscriber: SubscriberName) -> frozenset[Partition]:
        """Return the partitions that the feeds of `subscriber` hold."""
        return frozenset().union(*(feed.holds for feed in self._of(subscriber)))

    def wake(self) -> None:
        """Let all feeds check the log again."""
        for feed in self.feeds:
            feed.wake()

    def _of(self, subscriber: SubscriberName) -> Iterator[MemoryFeed]:
        return (feed for feed in self.feeds if feed.subscriber == subscriber)
