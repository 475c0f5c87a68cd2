"""The log's in-memory twin, for tests and for whoever writes a plugin."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from streamer.errors import EventsRefused, Fenced, LogUnavailable
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Entry,
    Event,
    Partition,
    Progress,
    Start,
    SubscriberName,
)
from streamer.log.patterns import wants
from streamer.log.starts import as_event_time
from streamer.ports import Append, Assigned, Page, Recorded, Revoked, Settlement, Subscription

PAGE_EVENTS = 500


def partition_of(event_type: str) -> Partition:
    """Return where events of a type go: one partition for an entity, whatever the kind of change."""
    return Partition(topic=".".join(event_type.split(".", 3)[:3]), number=0)


@dataclass(slots=True, kw_only=True)
class MemoryLog:
    """EventLog, LogReader and Ownership in one process's memory.

    Tests switch its faults: `down` makes every call raise `LogUnavailable`,
    `refuse` names events that can never be taken, and `fail_after_commit`
    lets the next append or settlement take effect and then raises
    `LogUnavailable`. A partition with more than `room` offsets settled above
    its prefix is crowded. What was kept can be looked at.
    """

    down: bool = False
    refuse: Callable[[Event], bool] = field(default=lambda _: False)
    fail_after_commit: bool = False
    room: int | None = None
    checkpoints: dict[Channel, Checkpoint] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    continuity: list[ContinuityRecord] = field(default_factory=list)
    settled: dict[SubscriberName, dict[Partition, Progress]] = field(default_factory=dict)
    _letters: dict[str, DeadLetter] = field(default_factory=dict)
    _partitions: dict[Partition, list[Entry]] = field(default_factory=dict)
    _feeds: list["MemoryFeed"] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        """Every event, in the order in which they were appended."""
        return [entry.event for entry in self.entries]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """What was set aside, the latest of each id."""
        return list(self._letters.values())

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint of `channel`."""
        self.check_up()
        return self.checkpoints.get(channel)

    async def append(self, append: Append, /) -> None:
        """Keep all of `append`, or nothing of it."""
        # A real log waits for its disk or its brokers; callers must cope.
        await asyncio.sleep(0)
        self.check_up()
        refused = [event.id for event in append.events if self.refuse(event)]
        if refused:
            raise EventsRefused("the test refuses these events", ids=refused)
        for event in append.events:
            self._keep(event)
        self.checkpoints[append.checkpoint.channel] = append.checkpoint
        self._set_aside(append.set_aside)
        self.continuity.extend(append.continuity)
        self._wake_feeds()
        self._check_answered()

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield all `channels` once; nobody else is there to take them."""
        yield frozenset(channels)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator["MemoryFeed"]:
        """Open a feed; the first one of a subscriber has every partition until `reassign`."""
        self.check_up()
        if subscription.subscriber not in self.settled:
            self.settled[subscription.subscriber] = {
                partition: Progress(next_offset=_first_offset(entries, subscription.start))
                for partition, entries in self._partitions.items()
            }
        feed = MemoryFeed(self, subscription)
        self._feeds.append(feed)
        self.reassign(subscription.subscriber, self._unowned(subscription.subscriber), to=feed)
        try:
            yield feed
        finally:
            self._feeds.remove(feed)
            heir = next(iter(self._feeds_of(subscription.subscriber)), None)
            self.reassign(subscription.subscriber, feed.holds, to=heir)

    def reassign(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: "MemoryFeed | None"
    ) -> None:
        """Move `partitions` to the feed `to`, or to a process that is not here, without asking anybody."""
        moved = frozenset(partitions)
        for feed in self._feeds_of(subscriber):
            feed.revoke(moved)
        if to is not None and moved:
            to.assign(moved)

    async def hand_over(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: "MemoryFeed | None"
    ) -> None:
        """Move `partitions` as `reassign` does, once those that hold them have let go of them."""
        moved = frozenset(partitions)
        for feed in self._feeds_of(subscriber):
            await feed.let_go(moved)
        self.reassign(subscriber, moved, to=to)

    def partition(self, partition: Partition) -> Sequence[Entry]:
        """Return what a partition holds, so that an offset is an index."""
        return self._partitions.get(partition, ())

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Keep what a feed settled."""
        self.check_up()
        self.settled[subscriber].update(settlement.progress)
        self._set_aside(settlement.set_aside)
        self._check_answered()
        crowded = (partition for partition, at in settlement.progress.items() if self._is_crowded(at))
        return Recorded(partitions=frozenset(settlement.progress), crowded=frozenset(crowded))

    def check_up(self) -> None:
        """Raise `LogUnavailable` while the log is down."""
        if self.down:
            raise LogUnavailable("the log is down: the test says so")

    def _keep(self, event: Event) -> None:
        partition = partition_of(event.type)
        if partition not in self._partitions:
            self._appear(partition)
        kept = self._partitions[partition]
        entry = Entry(partition=partition, offset=len(kept), event=event)
        kept.append(entry)
        self.entries.append(entry)

    def _appear(self, partition: Partition) -> None:
        self._partitions[partition] = []
        for subscriber in {feed.subscriber for feed in self._feeds}:
            self.reassign(subscriber, [partition], to=next(self._feeds_of(subscriber)))

    def _feeds_of(self, subscriber: SubscriberName) -> Iterator["MemoryFeed"]:
        return (feed for feed in self._feeds if feed.subscriber == subscriber)

    def _unowned(self, subscriber: SubscriberName) -> frozenset[Partition]:
        held = (feed.holds for feed in self._feeds_of(subscriber))
        return frozenset(self._partitions).difference(*held)

    def _is_crowded(self, progress: Progress) -> bool:
        return self.room is not None and len(progress.settled_above) > self.room

    def _set_aside(self, letters: Sequence[DeadLetter]) -> None:
        self._letters.update((letter.id, letter) for letter in letters)

    def _wake_feeds(self) -> None:
        for feed in self._feeds:
            feed.wake()

    def _check_answered(self) -> None:
        if self.fail_after_commit:
            self.fail_after_commit = False
            raise LogUnavailable("the log's answer was lost: read the checkpoint again")


class MemoryFeed:
    """One place of a subscriber in a `MemoryLog`."""

    def __init__(self, log: MemoryLog, subscription: Subscription) -> None:
        """Begin with no partitions; the log assigns them."""
        self.subscriber = subscription.subscriber
        self._log = log
        self._wanted = wants(subscription.patterns)
        self._changes: deque[Revoked | frozenset[Partition]] = deque()
        self._assignments: dict[Partition, int] = {}
        self._settled: dict[Partition, Progress] = {}
        self._cursors: dict[Partition, int] = {}
        self._paused: frozenset[Partition] = frozenset()
        self._assignment = 0
        self._woken = asyncio.Event()
        self._leaving: frozenset[Partition] = frozenset()
        self._told = asyncio.Event()
        self._asked_again = asyncio.Event()
        self.holds: frozenset[Partition] = frozenset()

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment."""
        self._asked_again.set()
        while True:
            self._log.check_up()
            self._woken.clear()
            if self._changes:
                return self._take_change()
            if page := self._page():
                return page
            await self._woken.wait()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing of these partitions until they are resumed or revoked."""
        self._paused |= partitions

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._paused -= partitions
        self.wake()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record progress and dead letters at once; what was revoked since is left out."""
        await asyncio.sleep(0)
        valid = {
            partition: progress
            for partition, progress in settlement.progress.items()
            if self._assignments.get(partition) == settlement.assignment
        }
        if settlement.set_aside and len(valid) < len(settlement.progress):
            raise Fenced(f"{self.subscriber} settled partitions that were revoked")
        return self._log.settle(self.subscriber, replace(settlement, progress=valid))

    def assign(self, partitions: frozenset[Partition]) -> None:
        """Take over `partitions`, which the next `read` says."""
        self.holds |= partitions
        self._changes.append(partitions)
        self.wake()

    async def let_go(self, partitions: frozenset[Partition]) -> None:
        """Say that `partitions` are to go; they have when the `read` after the one that says so begins."""
        self._leaving = self.holds & partitions
        if not self._leaving:
            return
        self.holds -= self._leaving
        self._changes.append(Revoked(partitions=self._leaving))
        self._told.clear()
        self.wake()
        await self._told.wait()
        self._asked_again.clear()
        await self._asked_again.wait()
        self._forget(partitions)

    def revoke(self, partitions: frozenset[Partition]) -> None:
        """Give up `partitions` at once, which the next `read` says."""
        lost = self.holds & partitions
        if not lost:
            return
        self.holds -= lost
        self._forget(lost)
        self._changes.append(Revoked(partitions=lost))
        self.wake()

    def wake(self) -> None:
        """Let a waiting `read` look again."""
        self._woken.set()

    def _take_change(self) -> Assigned | Revoked:
        change = self._changes.popleft()
        if isinstance(change, Revoked):
            self._paused -= change.partitions
            if change.partitions == self._leaving:
                self._told.set()
            else:
                self._forget(change.partitions)
            return change
        self._assignment += 1
        stored = self._log.settled[self.subscriber]
        # A partition that was there at the subscriber's start has its place;
        # what appeared later is read from its beginning.
        progress = {partition: stored.get(partition, Progress(next_offset=0)) for partition in change}
        for partition in change & self.holds:
            self._assignments[partition] = self._assignment
            self._settled[partition] = progress[partition]
            self._cursors[partition] = progress[partition].next_offset
        return Assigned(assignment=self._assignment, progress=progress)

    def _forget(self, partitions: frozenset[Partition]) -> None:
        for partition in partitions:
            self._assignments.pop(partition, None)
            self._cursors.pop(partition, None)

    def _page(self) -> Page | None:
        entries: list[Entry] = []
        through: dict[Partition, int] = {}
        behind = 0
        for partition, cursor in self._cursors.items():
            kept = self._log.partition(partition)
            room = 0 if partition in self._paused else PAGE_EVENTS - len(entries)
            taken = kept[cursor : cursor + room]
            behind += len(kept) - cursor - len(taken)
            if taken:
                through[partition] = cursor + len(taken)
                entries += (entry for entry in taken if self._concerns(entry))
        self._cursors.update(through)
        return Page(entries=entries, through=through, behind=behind) if through else None

    def _concerns(self, entry: Entry) -> bool:
        settled = self._settled[entry.partition]
        return entry.offset not in settled.settled_above and self._wanted(entry.event.type)


def _first_offset(entries: Sequence[Entry], start: Start | datetime) -> int:
    if isinstance(start, datetime):
        begin = as_event_time(start)
        later = (entry.offset for entry in entries if entry.event.time >= begin)
        return next(later, len(entries))
    return 0 if start is Start.EARLIEST else len(entries)
