"""The in-memory log, and its consumers."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field

from streamer.errors import EventsRefused
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
from streamer.log.memory.controls import (
    MemoryControls,
    MemoryProcessRecords,
    MemoryRecordStates,
    ParkedEvents,
)
from streamer.log.memory.feed import (
    MemoryFaults,
    MemoryFeed,
    MemoryPartitions,
    can_read,
    first_offset,
    forwarded_to,
    partition_of,
    settled_events,
)
from streamer.log.memory.history import MemoryHistory
from streamer.log.patterns import wants
from streamer.log.records import bounded, encode_event
from streamer.ports import Describer, Recorded, Settlement, StoredCheckpoint, Subscription


@dataclass(slots=True, kw_only=True)
class MemoryConsumers:
    """Open feeds with the partitions that each feed holds, and the parked events of each subscriber.

    `expected` are the configured subscribers. `states` are the record states that
    settlements have written.
    """

    states: MemoryRecordStates
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


@dataclass(slots=True, kw_only=True)
class MemoryLog:
    """EventLog, ControlledLog and Ownership in the memory of one process.

    Tests can set its `faults`. Tests can also inspect the kept events, dead letters,
    progress, and `continuity`, which has every state of each continuity record.
    """

    faults: MemoryFaults = field(default_factory=MemoryFaults)
    checkpoints: dict[Channel, Checkpoint] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    settled: dict[SubscriberName, dict[Partition, SettledOffsets]] = field(default_factory=dict)
    partitions: MemoryPartitions = field(default_factory=MemoryPartitions, init=False)
    consumers: MemoryConsumers = field(init=False)
    controls: MemoryControls = field(init=False)
    processes: MemoryProcessRecords = field(init=False)

    def __post_init__(self) -> None:
        self.consumers = MemoryConsumers(states=MemoryRecordStates(self.partitions, self.settled))
        self.controls = MemoryControls(self.faults.check_up)
        self.processes = MemoryProcessRecords(self.faults.check_up)

    @property
    def history(self) -> MemoryHistory:
        """Events for operators, and for processes that own no part of the log."""
        return MemoryHistory(self)

    @property
    def continuity(self) -> list[ContinuityRecord]:
        """Every state of each continuity record, in the order of the appends."""
        return self.controls.holes

    @property
    def states(self) -> MemoryRecordStates:
        """States of records. Raises `LogUnavailable` while the log is down."""
        self.faults.check_up()
        return self.consumers.states

    @property
    def events(self) -> list[Event]:
        """All events, in the order in which they were appended."""
        return [entry.event for entry in self.partitions.entries]

    @property
    def letters(self) -> list[DeadLetter]:
        """Newest dead letter of each id."""
        return list(self.controls.letters.values())

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint of `channel`."""
        self.faults.check_up()
        return self.checkpoints.get(channel)

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs of the checkpoints."""
        self.faults.check_up()
        return frozenset(channel.org for channel in self.checkpoints)

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the checkpoints."""
        self.faults.check_up()
        return [StoredCheckpoint(checkpoint=each, owner="memory") for each in self.checkpoints.values()]

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:  # noqa: ARG002 - no event has a time
        """Return the number of all events of these types."""
        self.faults.check_up()
        return sum(map(wants(patterns), (event.type for event in self.events)))

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the open continuity records of `channel`."""
        self.faults.check_up()
        return last_states(self.continuity, is_open_in(channel))

    async def holes(self, ids: Collection[str]) -> Mapping[str, ContinuityRecord]:
        """Return the last state of each continuity record in `ids`."""
        self.faults.check_up()
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
            self.partitions.entries.append(self._store(event, partition_of(event.type)))
        self.partitions.grow()
        self.checkpoints[checkpoint.channel] = checkpoint
        self._set_aside(set_aside)
        self.continuity.extend(continuity)
        self.consumers.wake()
        self.faults.check_answered()

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield all `channels` once, because no other process shares them."""
        yield frozenset(channels)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator[MemoryFeed]:
        """Open a feed; a subscriber's first feed owns every partition until `reassign`."""
        self.faults.check_up()
        if subscription.subscriber not in self.settled:
            self.settled[subscription.subscriber] = {
                partition: SettledOffsets(next_offset=first_offset(entries, subscription.start))
                for partition, entries in self.partitions.items()
                if can_read(subscription, partition) and not subscription.after
            }
        self.consumers.states.begin(subscription.states)
        feed = MemoryFeed(self, subscription)
        with self.consumers.joined(feed, self._unowned(subscription)):
            yield feed

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Store a settlement of a feed."""
        self.faults.check_up()
        self.settled[subscriber].update(settlement.progress)
        for letter in settlement.redriven:
            self.controls.letters.pop(letter, None)
        self._set_aside(settlement.set_aside)
        self.consumers.parked[subscriber].change(settlement.lanes)
        self.receipts.extend(settlement.receipts)
        for forwarded in settlement.forwarded:
            self._store(forwarded.event, forwarded_to(forwarded.to))
        self.consumers.states.replace(settlement.states)
        self.consumers.wake()
        if settlement.receipts or settlement.forwarded or settlement.states:
            # The real logs detect a repeated settlement, even if its answer was lost.
            self.faults.fail_after_commit = False
        self.faults.check_answered()
        crowded = (partition for partition, at in settlement.progress.items() if self.faults.is_crowded(at))
        return Recorded(partitions=frozenset(settlement.progress), crowded=frozenset(crowded))

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the settled events of a subscriber, and end."""
        return settled_events(self, subscription, begin)

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Note which subscribers are configured; this log never forgets an event."""
        self.consumers.expected = frozenset(subscribers)

    def parked(self, subscriber: SubscriberName, partition: Partition) -> Sequence[ParkedLane]:
        """Return the parked lanes of a subscriber in a partition."""
        return self.consumers.parked[subscriber].lanes(partition)

    def recall(
        self, subscriber: SubscriberName, partition: Partition, offsets: Sequence[int]
    ) -> Sequence[Entry]:
        """Return parked events of a subscriber."""
        self.faults.check_up()
        return self.consumers.parked[subscriber].entries(partition, offsets)

    @property
    def storage(self) -> None:
        """`None`: the log in memory has no limit."""
        return

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Empty: no other program writes to this log."""
        return {}

    @property
    def schema_outage(self) -> str:
        """Always empty: the log in memory needs no schema registry."""
        return ""

    @property
    def schema_failures(self) -> int:
        """Zero: as above."""
        return 0

    def described_by(self, _describer: Describer, /) -> AbstractContextManager[None]:
        """Return a context that does nothing: events in this log have no schemas."""
        return nullcontext()

    @property
    def aborted_transactions(self) -> int:
        """Zero: this log has no transactions."""
        return 0

    def _store(self, event: Event, partition: Partition) -> Entry:
        if partition not in self.partitions:
            self.partitions.appear(partition)
            self.consumers.assign_new(partition)
        return self.partitions.store(event, partition)

    def _unowned(self, subscription: Subscription) -> frozenset[Partition]:
        readable = (partition for partition in self.partitions if can_read(subscription, partition))
        return frozenset(readable) - self.consumers.held(subscription.subscriber)

    def _set_aside(self, letters: Sequence[DeadLetter]) -> None:
        self.controls.letters.update((letter.id, bounded(letter)) for letter in letters)


@dataclass(slots=True, kw_only=True)
class MemoryAppend:
    """One append that grows. Only `commit` refuses events; `add` accepts every event."""

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
        self.log.faults.check_up()
        if refused := [event for event in self.events if self.log.faults.refuse(event)]:
            self.events = [event for event in self.events if event not in refused]
            raise EventsRefused("the test refuses these events", events=refused)
        for letter in redriven:
            self.log.controls.letters.pop(letter, None)
        self.log.keep(self.events, checkpoint, set_aside, continuity)
