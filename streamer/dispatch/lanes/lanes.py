"""Lanes of one subscriber: queues of undelivered events, and the order in which lanes get their turn."""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from itertools import islice, zip_longest

from streamer.dispatch.lanes.head import Halves, RetryState, TextPool, packed
from streamer.events import Entry, Event, EventId, ParkedLane, Partition
from streamer.ports import LaneChange

LaneName = tuple[Partition, str]
"""Partition and name of a lane; for the same key, both are always the same."""


class Order(StrEnum):
    """Scope within which events are delivered in order."""

    KEY = "key"
    PARTITION = "partition"
    NONE = "none"

    def lane_of(self, entry: Entry) -> str:
        """Return the name of `entry`'s lane in its partition."""
        match self:
            case Order.KEY:
                return entry.event.key
            case Order.PARTITION:
                return ""
            case Order.NONE:
                return str(entry.offset)


class LaneState(Enum):
    """Ownership of a lane."""

    OPEN = auto()
    """This process owns the lane."""
    LEAVING = auto()
    """This process owns the lane until the handover: attempts in flight can end, but no attempt can begin."""
    GONE = auto()
    """Another process owns the lane: later results of attempts in this process are ignored."""


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """Events of one partition that are delivered one after another; the first event is the head.

    `entries` are the events in memory. All events of a parked lane are in the log:
    `parked` has their offsets, and `entries` has only the first of these events after
    they were recalled. `retries` and `halves` belong to the head. `redriven` has the
    times at which events were redriven, by offset.
    """

    partition: Partition
    name: str
    entries: deque[Entry] = field(default_factory=deque)
    parked: deque[int] = field(default_factory=deque)
    retries: RetryState = field(default_factory=RetryState)
    state: LaneState = LaneState.OPEN
    halves: Halves = field(default_factory=Halves)
    redriven: dict[int, float] = field(default_factory=dict)

    @property
    def full_name(self) -> LaneName:
        """Name among the lanes of all partitions."""
        return self.partition, self.name

    @property
    def head(self) -> Entry:
        """Event whose turn it is."""
        return self.entries[0]

    @property
    def head_offset(self) -> int:
        """Offset of the head in the partition."""
        return self.entries[0].offset if self.entries else self.parked[0]

    @property
    def is_parked(self) -> bool:
        """True while the log keeps the events of the lane."""
        return bool(self.parked)

    def change(self, *, joined: Sequence[Entry] = (), left: Sequence[int] = ()) -> LaneChange:
        """Return the change for the log to record: events that joined and offsets that left the lane."""
        return LaneChange(
            partition=self.partition,
            lane=self.name,
            setback=self.retries.setback if self.is_parked else None,
            joined=joined,
            left=left,
        )

    def absorb(self) -> tuple[Entry, ...]:
        """Remove the halves that were joined with the head, and return these halves."""
        halves, self.halves.joined = self.halves.joined, ()
        if halves:
            offsets = {half.offset for half in halves}
            self.entries = deque(entry for entry in self.entries if entry.offset not in offsets)
            self.parked = deque(offset for offset in self.parked if offset not in offsets)
        return halves

    def advance(self) -> None:
        """Remove the head; the next head has no attempts yet, but the due time of the lane stays."""
        if self.redriven:
            self.redriven.pop(self.head_offset, None)
        if self.parked:
            self.parked.popleft()
        if self.entries:
            self.entries.popleft()
        # Most lanes have no further event, and then need no new state.
        if self.entries or self.parked:
            self.retries = RetryState(due_at=self.retries.due_at)
        self.halves.awaited = None


class InFlight:
    """Set of the lanes that are being tried; each lane is in the set at most once."""

    def __init__(self) -> None:
        self._lanes: set[Lane] = set()
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._lanes)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._lanes

    def begin(self, lane: Lane) -> None:
        """Note that an attempt at `lane` begins."""
        self._lanes.add(lane)

    def end(self, lane: Lane) -> None:
        """Note that the attempt at `lane` has ended."""
        self._lanes.discard(lane)
        self._landed.set()

    def of(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Return the lanes of `partitions` that are being tried."""
        return [lane for lane in self._lanes if lane.partition in partitions]

    async def landed(self, lanes: Collection[Lane] | None = None) -> None:
        """Wait until all attempts at `lanes` have ended; the default is all lanes now in flight."""
        awaited = set(self._lanes if lanes is None else lanes)
        while awaited & self._lanes:
            self._landed.clear()
            await self._landed.wait()


class Lanes:
    """All lanes of one subscriber, and the order in which the lanes get their turn.

    A lane is ready, or being tried, or waiting for its next attempt. `take` gives each
    ready lane to one caller. `take` alternates between the partitions; within a
    partition, it takes the lanes in the order in which they became ready.
    """

    def __init__(self, order: Order = Order.KEY, *, joins: bool = False) -> None:
        """Begin empty; with `joins`, each lane stores the offsets of its events by event id."""
        self._order = order
        self._joins = joins
        self._lanes: dict[tuple[Partition, str], Lane] = {}
        self._ready: dict[Partition, deque[Lane]] = {}
        self._is_ready = asyncio.Event()
        self._parked: Counter[Partition] = Counter()
        self.texts = TextPool()
        """Texts of failed attempts, which the lanes share."""
        self.waiting = 0
        """Number of events in memory, including the events that are being delivered."""
        self.waiting_bytes = 0
        """Number of bytes that the events in memory take in the log."""

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    @property
    def ready(self) -> bool:
        """True while a lane is ready to be tried."""
        return bool(self._ready)

    @property
    def parked(self) -> int:
        """Number of events that are parked."""
        return self._parked.total()

    def get(self, full_name: tuple[Partition, str]) -> Lane | None:
        """Return the lane with this name, or `None`."""
        return self._lanes.get(full_name)

    def parked_in(self, partition: Partition) -> int:
        """Return the number of parked events of `partition`."""
        return self._parked[partition]

    def failed_in(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Return the lanes of `partitions` that are not parked but whose head has failed."""
        return [
            lane
            for lane in self._lanes.values()
            if lane.retries.attempts and not lane.is_parked and lane.partition in partitions
        ]

    def upcoming(self) -> Iterator[Event]:
        """Yield the events in memory roughly in the order of their turns, first the heads of ready lanes.

        The heads of other lanes are not yielded, because these heads are being tried or
        wait.
        """
        for turn in zip_longest(*self._ready.values()):
            for lane in turn:
                if lane is not None:
                    yield from (entry.event for entry in islice(lane.entries, 1))
        for lane in self._lanes.values():
            yield from (entry.event for entry in islice(lane.entries, 1, None))

    def put(self, entry: Entry) -> Lane | None:
        """Queue `entry` at the end of its lane; return the lane if it is parked, otherwise `None`.

        An event of a parked lane does not stay in memory, so the caller must also park
        this event.
        """
        name = entry.partition, self._order.lane_of(entry)
        lane = self._lanes.get(name)
        if lane is None:
            places: dict[EventId, list[int]] | None = {} if self._joins else None
            lane = self._lanes[name] = Lane(
                partition=entry.partition, name=name[1], halves=Halves(places=places)
            )
            self.make_ready(lane)
        if lane.halves.places is not None:
            lane.halves.places.setdefault(entry.event.id, []).append(entry.offset)
        if lane.is_parked:
            lane.parked.append(entry.offset)
            self._parked[entry.partition] += 1
            return lane
        lane.entries.append(entry)
        self._count(entry, 1)
        return None

    def restore(self, partition: Partition, kept: ParkedLane) -> Lane:
        """Add a parked lane from the log."""
        setback = kept.setback
        lane = self._lanes[partition, kept.lane] = Lane(
            partition=partition,
            name=kept.lane,
            parked=deque(kept.offsets),
            retries=RetryState(
                attempts=setback.attempts,
                # The log stores the first failure, but not the first attempt.
                first_tried_at=setback.first_failed_at if setback.attempts else None,
                first_failed_at=setback.first_failed_at if setback.attempts else None,
                first_error=self.texts.shared(setback.first_error),
                last_error=self.texts.shared(setback.last_error),
                due_at=setback.due_at,
                history=packed(setback.failed_attempts, self.texts),
            ),
        )
        self._parked[partition] += len(kept.offsets)
        return lane

    def join(self, entry: Entry) -> Lane:
        """Insert `entry` into its lane by offset, and park the lane, which must not be in flight.

        The lane can get a new head, so the attempt count of the head is reset.
        """
        name = entry.partition, self._order.lane_of(entry)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(partition=entry.partition, name=name[1])
        self.forget_recalled(lane)
        lane.parked = deque(sorted({*lane.parked, entry.offset}))
        self._parked[entry.partition] += 1
        lane.retries.give_back(lane.retries.attempts)
        lane.retries.first_tried_at, lane.retries.history = None, ()
        lane.halves = Halves()
        return lane

    def lane_of(self, entry: Entry) -> Lane | None:
        """Return the lane of `entry`, or `None`."""
        return self._lanes.get((entry.partition, self._order.lane_of(entry)))

    async def take(self, *, untried_first: bool = False) -> Lane:
        """Wait for a ready lane and take it; `untried_first` prefers a lane whose head was never tried."""
        while True:
            lane = (self._untried() if untried_first else None) or self.take_at_once()
            if lane is not None and lane.state is LaneState.OPEN:
                return lane
            if self._ready:
                continue
            self._is_ready.clear()
            await self._is_ready.wait()

    def take_at_once(self) -> Lane | None:
        """Take a ready lane, or return `None`."""
        while self._ready:
            lane = self._next()
            if lane.state is LaneState.OPEN:
                return lane
        return None

    def make_ready(self, lane: Lane) -> None:
        """Make `lane` ready, after the lanes that are ready already."""
        self._ready.setdefault(lane.partition, deque()).append(lane)
        self._is_ready.set()

    def park(self, lane: Lane) -> list[Entry]:
        """Mark the events of `lane` as parked; return the events that the log does not have yet."""
        entries = list(lane.entries)
        self.forget_recalled(lane)
        lane.halves.joined = ()
        if lane.is_parked:
            return []
        lane.parked.extend(entry.offset for entry in entries)
        self._parked[lane.partition] += len(entries)
        return entries

    def recalled(self, lane: Lane, entries: list[Entry]) -> None:
        """Put the recalled first events of a parked lane into memory."""
        lane.entries.extend(entries)
        for entry in entries:
            self._count(entry, 1)

    def replace_head(self, lane: Lane, head: Entry, halves: tuple[Entry, ...]) -> None:
        """Replace the head by the joined event `head`; `halves` will leave the lane together with `head`."""
        lane.entries[0] = head
        lane.halves.joined = halves

    def absorb(self, lane: Lane) -> tuple[Entry, ...]:
        """Remove from the lane the halves that were joined with the head, and return these halves."""
        if not lane.halves.joined:
            return ()
        held, parked = {entry.offset for entry in lane.entries}, len(lane.parked)
        halves = lane.absorb()
        for half in halves:
            if half.offset in held:
                self._count(half, -1)
        self._parked[lane.partition] -= parked - len(lane.parked)
        return halves

    def forget_recalled(self, lane: Lane) -> None:
        """Remove the events of `lane` from memory."""
        for entry in lane.entries:
            self._count(entry, -1)
        lane.entries.clear()

    def advance(self, lane: Lane) -> None:
        """Remove the settled head; the lane's next event, if there is one, then gets its turn."""
        if lane.parked:
            self._parked[lane.partition] -= 1
        if lane.entries:
            self._count(lane.entries[0], -1)
        lane.advance()
        if lane.entries or lane.parked:
            self.make_ready(lane)
        else:
            del self._lanes[lane.full_name]

    def leave(self, partitions: frozenset[Partition]) -> None:
        """Remove the lanes of `partitions`, and set the state of these lanes to `LEAVING`."""
        for name, lane in list(self._lanes.items()):
            if lane.partition in partitions:
                lane.state = LaneState.LEAVING
                # Free the memory of all events but the head: a running timer can still refer to
                # the lane, and an attempt can refer to the head.
                head = list(lane.entries)[:1]
                self.forget_recalled(lane)
                lane.entries.extend(head)
                del self._lanes[name]
        for partition in partitions:
            self._parked.pop(partition, None)
            self._ready.pop(partition, None)

    def _next(self) -> Lane:
        partition, queue = next(iter(self._ready.items()))
        lane = queue.popleft()
        if not queue:
            del self._ready[partition]
        elif len(self._ready) > 1:
            # A partition whose lane was taken moves to the end of the order.
            self._ready[partition] = self._ready.pop(partition)
        return lane

    def _untried(self) -> Lane | None:
        for partition, queue in self._ready.items():
            for lane in queue:
                if lane.retries.first_tried_at is None:
                    queue.remove(lane)
                    if not queue:
                        del self._ready[partition]
                    return lane
        return None

    def _count(self, entry: Entry, sign: int) -> None:
        self.waiting += sign
        self.waiting_bytes += sign * entry.size
