"""Feed of the in-memory log, its partitions, and the faults that a test can set."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from streamer.errors import Fenced, LogUnavailable
from streamer.events import Entry, Event, ParkedLane, Partition, SettledOffsets, Start, SubscriberName
from streamer.log.patterns import wants
from streamer.log.records import encode_event
from streamer.normalise.malformed import as_event_time
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

PAGE_EVENTS = 500
_FORWARDED = "forwarded."


@dataclass(slots=True, kw_only=True)
class MemoryFaults:
    """Faults of a log in memory, which tests set.

    `down` makes every call raise `LogUnavailable`. `refuse` selects events that an
    append refuses. With `fail_after_commit`, the next append or settlement takes
    effect and then raises `LogUnavailable`. A partition is crowded when more than
    `room` offsets are settled above `next_offset`.
    """

    down: bool = False
    refuse: Callable[[Event], bool] = field(default=lambda _: False)
    fail_after_commit: bool = False
    room: int | None = None

    def check_up(self) -> None:
        """Raise `LogUnavailable` while the log is down."""
        if self.down:
            raise LogUnavailable("the log is down, because the test has set down = True")

    def check_answered(self) -> None:
        """Raise `LogUnavailable` once if the log is to fail after a commit."""
        if self.fail_after_commit:
            self.fail_after_commit = False
            raise LogUnavailable("the log's answer was lost: read the checkpoint again")

    def is_crowded(self, progress: SettledOffsets) -> bool:
        """Return whether a partition with this progress is crowded."""
        return self.room is not None and len(progress.settled_above) > self.room


@dataclass(slots=True, kw_only=True)
class MemoryPartitions:
    """Entries of each partition; `entries` has all appended events in the order of their append.

    Forwarded events also have partitions, but are not in `entries`.
    """

    entries: list[Entry] = field(default_factory=list)
    _kept: dict[Partition, list[Entry]] = field(default_factory=dict, init=False)
    _grown: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._kept

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._kept)

    def items(self) -> Collection[tuple[Partition, Sequence[Entry]]]:
        """Return each partition with its entries."""
        return self._kept.items()

    def of(self, partition: Partition) -> Sequence[Entry]:
        """Return the entries of a partition; the offset of an entry is its index."""
        return self._kept.get(partition, ())

    def appear(self, partition: Partition) -> None:
        """Add an empty partition."""
        self._kept[partition] = []

    def store(self, event: Event, partition: Partition) -> Entry:
        """Add `event` to a partition, and return its entry."""
        kept = self._kept[partition]
        entry = Entry(partition=partition, offset=len(kept), event=event, size=len(encode_event(event)))
        kept.append(entry)
        return entry

    def grow(self) -> None:
        """Wake the tasks that wait in `grown`."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def grown(self, beyond: int) -> None:
        """Return as soon as `entries` has more than `beyond` entries."""
        while len(self.entries) <= beyond:
            await self._grown.wait()


class LogState(Protocol):
    """Part of the log that a feed reads and changes."""

    @property
    def settled(self) -> Mapping[SubscriberName, Mapping[Partition, SettledOffsets]]:
        """Progress of each subscriber in each partition."""
        ...

    @property
    def partitions(self) -> MemoryPartitions:
        """Return the entries of a partition; the index of an entry is its offset."""
        ...

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Record a settlement of a feed."""
        ...

    def parked(self, subscriber: SubscriberName, partition: Partition) -> Sequence[ParkedLane]:
        """Return the parked lanes of a subscriber in a partition."""
        ...

    def recall(
        self, subscriber: SubscriberName, partition: Partition, offsets: Sequence[int]
    ) -> Sequence[Entry]:
        """Return parked events of a subscriber."""
        ...

    @property
    def faults(self) -> MemoryFaults:
        """Faults that a test has set."""
        ...


class MemoryFeed:
    """Member of a subscriber's group, which reads the partitions that the log assigns to it."""

    def __init__(self, log: LogState, subscription: Subscription) -> None:
        self.subscriber = subscription.subscriber
        self.subscription = subscription
        self._log = log
        self._wanted = wants(subscription.patterns)
        self._changes: deque[Revoked | frozenset[Partition]] = deque()
        self._assignments: dict[Partition, int] = {}
        self._settled: dict[Partition, SettledOffsets] = {}
        self._cursors: dict[Partition, int] = {}
        self._paused: frozenset[Partition] = frozenset()
        self._assignment = 0
        self._woken = asyncio.Event()
        self._leaving: frozenset[Partition] = frozenset()
        self._revocation_read = asyncio.Event()
        self._read_again = asyncio.Event()
        self.holds: frozenset[Partition] = frozenset()

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment, and return it."""
        self._read_again.set()
        while True:
            self._log.faults.check_up()
            self._woken.clear()
            if self._changes:
                return self._next_change()
            if page := self._page():
                return page
            await self._woken.wait()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Stop reading these partitions until they are resumed or revoked."""
        self._paused |= partitions

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._paused -= partitions
        self.wake()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record progress with the records of this progress; progress in revoked partitions is ignored."""
        await asyncio.sleep(0)
        valid = {
            partition: progress
            for partition, progress in settlement.progress.items()
            if self._assignments.get(partition) == settlement.assignment
        }
        if len(valid) < len(settlement.progress) and not settlement.is_plain:
            raise Fenced(f"the subscriber {self.subscriber} settled events of partitions that were revoked")
        return self._log.settle(self.subscriber, replace(settlement, progress=valid))

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events of an assigned partition; empty for any other partition."""
        await asyncio.sleep(0)
        if partition not in self._assignments:
            return []
        return self._log.recall(self.subscriber, partition, offsets)

    def assign(self, partitions: frozenset[Partition]) -> None:
        """Take over `partitions`; the next `read` returns the assignment."""
        self.holds |= partitions
        self._changes.append(partitions)
        self.wake()

    async def let_go(self, partitions: frozenset[Partition]) -> None:
        """Release `partitions`, and wait until the reader has noticed the revocation.

        The method returns after `read` has returned the revocation and was called
        again. Until then, no other feed gets the partitions.
        """
        self._leaving = self.holds & partitions
        if not self._leaving:
            return
        self._changes.append(Revoked(partitions=self._leaving))
        self._revocation_read.clear()
        self.wake()
        await self._revocation_read.wait()
        self._read_again.clear()
        await self._read_again.wait()
        self.holds -= partitions
        self._forget(partitions)

    def revoke(self, partitions: frozenset[Partition]) -> None:
        """Release `partitions` at once; the next `read` returns the revocation."""
        lost = self.holds & partitions
        if not lost:
            return
        self.holds -= lost
        self._forget(lost)
        self._changes.append(Revoked(partitions=lost))
        self.wake()

    def wake(self) -> None:
        """Let a waiting `read` check the log again."""
        self._woken.set()

    def _next_change(self) -> Assigned | Revoked:
        change = self._changes.popleft()
        if isinstance(change, Revoked):
            self._paused -= change.partitions
            if change.partitions == self._leaving:
                self._revocation_read.set()
            else:
                self._forget(change.partitions)
            return change
        self._assignment += 1
        stored = self._log.settled[self.subscriber]
        # A partition that existed at the subscriber's start has stored progress. A partition
        # that appeared later is read from its beginning.
        progress = {partition: stored.get(partition, SettledOffsets(next_offset=0)) for partition in change}
        for partition in change & self.holds:
            self._assignments[partition] = self._assignment
            self._settled[partition] = progress[partition]
            self._cursors[partition] = progress[partition].next_offset
        parked = {partition: self._log.parked(self.subscriber, partition) for partition in change}
        return Assigned(assignment=self._assignment, progress=progress, parked=parked)

    def _forget(self, partitions: frozenset[Partition]) -> None:
        for partition in partitions:
            self._assignments.pop(partition, None)
            self._cursors.pop(partition, None)

    def _page(self) -> Page | None:
        entries: list[Entry] = []
        through: dict[Partition, int] = {}
        behind = 0
        for partition, cursor in self._cursors.items():
            kept = self._log.partitions.of(partition)
            room = 0 if partition in self._paused else PAGE_EVENTS - len(entries)
            taken = kept[cursor : cursor + room]
            behind += len(kept) - cursor - len(taken)
            if taken:
                through[partition] = cursor + len(taken)
                entries += (entry for entry in taken if self._is_wanted(entry))
        self._cursors.update(through)
        return Page(entries=entries, through=through, behind=behind) if through else None

    def _is_wanted(self, entry: Entry) -> bool:
        settled = self._settled[entry.partition]
        return entry.offset not in settled.settled_above and self._wanted(entry.event.type)


async def settled_events(
    log: LogState, subscription: Subscription, begin: Mapping[Partition, int]
) -> AsyncGenerator[Entry, None]:
    """Yield the settled entries of a subscriber in `log`, from the offsets in `begin` on."""
    log.faults.check_up()
    subscriber, wanted = subscription.subscriber, wants(subscription.patterns)
    settled = log.settled.get(subscriber, {})
    for partition in begin.keys() & settled.keys():
        progress = settled[partition]
        parked = {offset for lane in log.parked(subscriber, partition) for offset in lane.offsets}
        for entry in log.partitions.of(partition)[begin[partition] :]:
            is_finished = progress.covers(entry.offset) and entry.offset not in parked
            if is_finished and wanted(entry.event.type):
                yield entry


def partition_of(event_type: str) -> Partition:
    """Return the partition of an event type; all changes of an entity share one partition."""
    return Partition(topic=".".join(event_type.split(".", 3)[:3]), number=0)


def forwarded_to(subscriber: SubscriberName) -> Partition:
    """Return the partition of the events that are forwarded to a subscriber."""
    return Partition(topic=f"{_FORWARDED}{subscriber}", number=0)


def can_read(subscription: Subscription, partition: Partition) -> bool:
    """Return whether the topic of `partition` can hold events for a subscriber."""
    if subscription.after:
        return partition == forwarded_to(subscription.subscriber)
    return not is_forwarded(partition)


def is_forwarded(partition: Partition) -> bool:
    """Return whether `partition` holds events that are forwarded to a subscriber."""
    return partition.topic.startswith(_FORWARDED)


def first_offset(entries: Sequence[Entry], start: Start | datetime) -> int:
    """Return the offset at which a subscriber starts in a partition that holds `entries`."""
    if isinstance(start, datetime):
        begin = as_event_time(start)
        later = (entry.offset for entry in entries if entry.event.time >= begin)
        return next(later, len(entries))
    return 0 if start is Start.EARLIEST else len(entries)
