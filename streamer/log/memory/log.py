"""The in-memory log."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streamer.errors import EventsRefused, LogUnavailable
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Entry,
    Event,
    OrgId,
    ParkedLane,
    Partition,
    Receipt,
    SettledOffsets,
    SubscriberName,
)
from streamer.log.continuity import by_id, has_id_in, is_open_in, last_states
from streamer.log.memory.controls import MemoryControls, ParkedEvents
from streamer.log.memory.feed import (
    MemoryFeed,
    can_read,
    first_offset,
    forwarded_to,
    partition_of,
    settled_events,
)
from streamer.log.memory.history import MemoryHistory
from streamer.log.patterns import wants
from streamer.log.records import bounded, encode_event
from streamer.ports import Recorded, Settlement, StoredCheckpoint, Subscription


@dataclass(slots=True, kw_only=True)
class MemoryLog:
    """EventLog, ControlledLog and Ownership in the memory of one process.

    Tests can set faults. `down` makes every call raise `LogUnavailable`. `refuse`
    selects events that an append refuses. With `fail_after_commit`, the next append
    or settlement takes effect and then raises `LogUnavailable`. A partition is
    crowded when more than `room` offsets are settled above `next_offset`. Tests can
    inspect the kept events, dead letters, progress, and `continuity`, which has
    every state of each continuity record.
    """

    down: bool = False
    refuse: Callable[[Event], bool] = field(default=lambda _: False)
    fail_after_commit: bool = False
    room: int | None = None
    checkpoints: dict[Channel, Checkpoint] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    continuity: list[ContinuityRecord] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    settled: dict[SubscriberName, dict[Partition, SettledOffsets]] = field(default_factory=dict)
    expected: frozenset[SubscriberName] = frozenset()
    _letters: dict[str, DeadLetter] = field(default_factory=dict)
    _parked: dict[SubscriberName, ParkedEvents] = field(default_factory=lambda: defaultdict(ParkedEvents))
    _partitions: dict[Partition, list[Entry]] = field(default_factory=dict)
    _feeds: list[MemoryFeed] = field(default_factory=list)
    controls: MemoryControls = field(init=False)
    history: MemoryHistory = field(init=False)
    _grown: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.history = MemoryHistory(self)
        self.controls = MemoryControls(self._letters, self.continuity, self.check_up)

    @property
    def events(self) -> list[Event]:
        """All events, in the order in which they were appended."""
        return [entry.event for entry in self.entries]

    @property
    def letters(self) -> list[DeadLetter]:
        """Newest dead letter of each id."""
        return list(self._letters.values())

    @property
    def partitions(self) -> list[Partition]:
        """All partitions, including partitions of forwarded events."""
        return list(self._partitions)

    async def grown(self, beyond: int) -> None:
        """Wait until the log has more than `beyond` entries."""
        while len(self.entries) <= beyond:
            await self._grown.wait()

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint of `channel`."""
        self.check_up()
        return self.checkpoints.get(channel)

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs of the checkpoints."""
        self.check_up()
        return frozenset(channel.org for channel in self.checkpoints)

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the checkpoints."""
        self.check_up()
        return [StoredCheckpoint(checkpoint=each, owner="memory") for each in self.checkpoints.values()]

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:  # noqa: ARG002 - no event has a time of appending
        """Return the number of all events of these types."""
        self.check_up()
        return sum(map(wants(patterns), (event.type for event in self.events)))

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the open continuity records of `channel`."""
        self.check_up()
        return last_states(self.continuity, is_open_in(channel))

    async def holes(self, ids: Collection[str]) -> Mapping[str, ContinuityRecord]:
        """Return the last state of each continuity record in `ids`."""
        self.check_up()
        return by_id(last_states(self.continuity, has_id_in(ids)))

    def begin(self, channel: Channel) -> "MemoryAppend":  # noqa: ARG002 - the port's shape
        """Return a new append, which keeps its events until it is committed."""
        return MemoryAppend(log=self)

    def keep(
        self,
        events: Sequence[Event],
        checkpoint: Checkpoint,
        set_aside: Sequence[DeadLetter],
        continuity: Sequence[ContinuityRecord],
    ) -> None:
        """Store an append; its commit calls this method."""
        for event in events:
            self._keep(event)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        self.checkpoints[checkpoint.channel] = checkpoint
        self._set_aside(set_aside)
        self.continuity.extend(continuity)
        self._wake_feeds()
        self._check_answered()

    def remove_letter(self, letter: str) -> None:
        """Remove a dead letter by its id."""
        self._letters.pop(letter, None)

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield all `channels` once, because no other process shares them."""
        yield frozenset(channels)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator[MemoryFeed]:
        """Open a feed; a subscriber's first feed owns every partition until `reassign`."""
        self.check_up()
        if subscription.subscriber not in self.settled:
            self.settled[subscription.subscriber] = {
                partition: SettledOffsets(next_offset=first_offset(entries, subscription.start))
                for partition, entries in self._partitions.items()
                if can_read(subscription, partition) and not subscription.after
            }
        feed = MemoryFeed(self, subscription)
        self._feeds.append(feed)
        self.reassign(subscription.subscriber, self._unowned(subscription), to=feed)
        try:
            yield feed
        finally:
            self._feeds.remove(feed)
            heir = next(iter(self._feeds_of(subscription.subscriber)), None)
            self.reassign(subscription.subscriber, feed.holds, to=heir)

    def reassign(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: MemoryFeed | None
    ) -> None:
        """Move `partitions` at once to the feed `to`, or to another process if `to` is `None`."""
        moved = frozenset(partitions)
        for feed in self._feeds_of(subscriber):
            feed.revoke(moved)
        if to is not None and moved:
            to.assign(moved)

    async def hand_over(
        self, subscriber: SubscriberName, partitions: Collection[Partition], *, to: MemoryFeed | None
    ) -> None:
        """Move `partitions` like `reassign`, but wait until their present owners have released them."""
        moved = frozenset(partitions)
        for feed in self._feeds_of(subscriber):
            await feed.let_go(moved)
        self.reassign(subscriber, moved, to=to)

    def partition(self, partition: Partition) -> Sequence[Entry]:
        """Return the entries of a partition, so that an offset is an index."""
        return self._partitions.get(partition, ())

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Store a settlement of a feed."""
        self.check_up()
        self.settled[subscriber].update(settlement.progress)
        for letter in settlement.redriven:
            self.remove_letter(letter)
        self._set_aside(settlement.set_aside)
        self._parked[subscriber].change(settlement.lanes)
        self.receipts.extend(settlement.receipts)
        for forwarded in settlement.forwarded:
            self._store(forwarded.event, forwarded_to(forwarded.to))
        self._wake_feeds()
        if settlement.receipts or settlement.forwarded:
            # The real logs detect a repeated settlement, even if its answer was lost.
            self.fail_after_commit = False
        self._check_answered()
        crowded = (partition for partition, at in settlement.progress.items() if self._is_crowded(at))
        return Recorded(partitions=frozenset(settlement.progress), crowded=frozenset(crowded))

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the settled events of a subscriber, and end."""
        return settled_events(self, subscription, begin)

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Note which subscribers are configured; this log never forgets an event."""
        self.expected = frozenset(subscribers)

    def parked(self, subscriber: SubscriberName, partition: Partition) -> Sequence[ParkedLane]:
        """Return the parked lanes of a subscriber in a partition."""
        return self._parked[subscriber].lanes(partition)

    def recall(
        self, subscriber: SubscriberName, partition: Partition, offsets: Sequence[int]
    ) -> Sequence[Entry]:
        """Return parked events of a subscriber."""
        self.check_up()
        return self._parked[subscriber].entries(partition, offsets)

    @property
    def storage(self) -> None:
        """`None`: the log in memory has no limit."""
        return

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Empty: no other program writes to this log."""
        return {}

    @property
    def aborted_transactions(self) -> int:
        """Zero: this log has no transactions."""
        return 0

    def check_up(self) -> None:
        """Raise `LogUnavailable` while the log is down."""
        if self.down:
            raise LogUnavailable("the log is down, because the test has set it down")

    def _keep(self, event: Event) -> None:
        self.entries.append(self._store(event, partition_of(event.type)))

    def _store(self, event: Event, partition: Partition) -> Entry:
        if partition not in self._partitions:
            self._appear(partition)
        kept = self._partitions[partition]
        entry = Entry(partition=partition, offset=len(kept), event=event, size=len(encode_event(event)))
        kept.append(entry)
        return entry

    def _appear(self, partition: Partition) -> None:
        self._partitions[partition] = []
        for subscriber in {feed.subscriber for feed in self._feeds if can_read(feed.subscription, partition)}:
            self.reassign(subscriber, [partition], to=next(self._feeds_of(subscriber)))

    def _feeds_of(self, subscriber: SubscriberName) -> Iterator[MemoryFeed]:
        return (feed for feed in self._feeds if feed.subscriber == subscriber)

    def _unowned(self, subscription: Subscription) -> frozenset[Partition]:
        held = (feed.holds for feed in self._feeds_of(subscription.subscriber))
        readable = (partition for partition in self._partitions if can_read(subscription, partition))
        return frozenset(readable).difference(*held)

    def _is_crowded(self, progress: SettledOffsets) -> bool:
        return self.room is not None and len(progress.settled_above) > self.room

    def _set_aside(self, letters: Sequence[DeadLetter]) -> None:
        self._letters.update((letter.id, bounded(letter)) for letter in letters)

    def _wake_feeds(self) -> None:
        for feed in self._feeds:
            feed.wake()

    def _check_answered(self) -> None:
        if self.fail_after_commit:
            self.fail_after_commit = False
            raise LogUnavailable("the log's answer was lost: read the checkpoint again")


@dataclass(slots=True, kw_only=True)
class MemoryAppend:
    """One append that grows; `commit` refuses events, `add` does not."""

    log: MemoryLog
    events: list[Event] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Size of the added events, in bytes."""
        return sum(len(encode_event(event)) for event in self.events)

    def add(self, events: Sequence[Event], /) -> None:
        """Keep `events` for the commit."""
        self.events += events

    async def commit(
        self,
        checkpoint: Checkpoint,
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
        redriven: Collection[str] = (),
    ) -> None:
        """Store the whole append, or raise `EventsRefused` and store nothing."""
        # A real log waits for its disk or its brokers here, so callers must expect a switch of
        # tasks.
        await asyncio.sleep(0)
        self.log.check_up()
        if refused := [event for event in self.events if self.log.refuse(event)]:
            self.events = [event for event in self.events if event not in refused]
            raise EventsRefused("the test refuses these events", events=refused)
        for letter in redriven:
            self.log.remove_letter(letter)
        self.log.keep(self.events, checkpoint, set_aside, continuity)
