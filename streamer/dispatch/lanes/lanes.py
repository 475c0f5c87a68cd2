"""Lanes of one subscriber's undelivered events, and their listings for operators."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from itertools import islice, zip_longest

from streamer.clock import Clock
from streamer.dispatch.lanes.lane import DelayQueue, InFlight, Lane, LaneState, Order
from streamer.events import Entry, Event, EventId, ParkedLane, Partition
from streamer.observe.subscriber_status import ParkedKey, ParkedKeys, ParkedState


class Lanes:
    """All lanes of one subscriber, and the order of their turns.

    A lane is ready, or being tried, or waiting for its next attempt. `take`
    returns each ready lane to one caller. It alternates between the partitions,
    and within a partition it keeps the order in which lanes became ready.
    """

    def __init__(self, order: Order = Order.KEY, *, joins: bool = False) -> None:
        """Begin empty; with `joins` the lanes know the places of their events."""
        self._order = order
        self._joins = joins
        self._lanes: dict[tuple[Partition, str], Lane] = {}
        self._ready: dict[Partition, deque[Lane]] = {}
        self._is_ready = asyncio.Event()
        self._parked: Counter[Partition] = Counter()
        self.waiting = 0
        """Number of events in memory, including those being delivered."""
        self.waiting_bytes = 0
        """Size of these events in the log, in bytes."""

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
        """Return the lane of that name, or `None`."""
        return self._lanes.get(full_name)

    def parked_in(self, partition: Partition) -> int:
        """Return the number of parked events of `partition`."""
        return self._parked[partition]

    def failed_in(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Return the lanes of `partitions` that are not parked and whose head has failed."""
        return [
            lane
            for lane in self._lanes.values()
            if lane.attempts and not lane.is_parked and lane.partition in partitions
        ]

    def upcoming(self) -> Iterator[Event]:
        """Yield the events in memory about in the order of their turns: first the heads of the ready lanes.

        The heads of other lanes are left out: they are being tried, or wait.
        """
        for turn in zip_longest(*self._ready.values()):
            for lane in turn:
                if lane is not None:
                    yield from (entry.event for entry in islice(lane.entries, 1))
        for lane in self._lanes.values():
            yield from (entry.event for entry in islice(lane.entries, 1, None))

    def put(self, entry: Entry) -> Lane | None:
        """Queue `entry` behind the others of its lane, or return the lane if it is parked.

        An event of a parked lane is not kept here: the caller must park it too.
        """
        name = entry.partition, self._order.lane_of(entry)
        lane = self._lanes.get(name)
        if lane is None:
            places: dict[EventId, list[int]] | None = {} if self._joins else None
            lane = self._lanes[name] = Lane(partition=entry.partition, name=name[1], places=places)
            self.make_ready(lane)
        if lane.places is not None:
            lane.places.setdefault(entry.event.id, []).append(entry.offset)
        if lane.is_parked:
            lane.parked.append(entry.offset)
            self._parked[entry.partition] += 1
            return lane
        lane.entries.append(entry)
        self._count(entry, 1)
        return None

    def restore(self, partition: Partition, kept: ParkedLane) -> Lane:
        """Add a lane that the log keeps as parked."""
        setback = kept.setback
        lane = self._lanes[partition, kept.lane] = Lane(
            partition=partition,
            name=kept.lane,
            parked=deque(kept.offsets),
            attempts=setback.attempts,
            # The log keeps the first failure, but not the first try.
            first_tried_at=setback.first_failed_at if setback.attempts else None,
            first_failed_at=setback.first_failed_at if setback.attempts else None,
            first_error=setback.first_error,
            last_error=setback.last_error,
            due_at=setback.due_at,
        )
        self._parked[partition] += len(kept.offsets)
        return lane

    def join(self, entry: Entry) -> Lane:
        """Insert `entry` into its lane by offset and park the lane; the lane must not be in flight.

        The head can change, so its attempt count is reset.
        """
        name = entry.partition, self._order.lane_of(entry)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(partition=entry.partition, name=name[1])
        self.forget_recalled(lane)
        lane.parked = deque(sorted({*lane.parked, entry.offset}))
        self._parked[entry.partition] += 1
        lane.give_back(lane.attempts)
        lane.first_tried_at = lane.awaited = lane.places = None
        lane.halves = ()
        return lane

    def lane_of(self, entry: Entry) -> Lane | None:
        """Return the lane of `entry`, or `None`."""
        return self._lanes.get((entry.partition, self._order.lane_of(entry)))

    async def take(self, *, untried_first: bool = False) -> Lane:
        """Wait for a lane that is ready; `untried_first` prefers one whose head was never tried."""
        while True:
            lane = (self._untried() if untried_first else None) or self.take_at_once()
            if lane is not None and lane.state is LaneState.OPEN:
                return lane
            if self._ready:
                continue
            self._is_ready.clear()
            await self._is_ready.wait()

    def take_at_once(self) -> Lane | None:
        """Return a lane that is ready, or `None`."""
        while self._ready:
            lane = self._next()
            if lane.state is LaneState.OPEN:
                return lane
        return None

    def make_ready(self, lane: Lane) -> None:
        """Let `lane` have its turn, after the lanes that are ready already."""
        self._ready.setdefault(lane.partition, deque()).append(lane)
        self._is_ready.set()

    def park(self, lane: Lane) -> list[Entry]:
        """Move the events of `lane` to the log; return those that the log does not have yet."""
        entries = list(lane.entries)
        self.forget_recalled(lane)
        lane.halves = ()
        if lane.is_parked:
            return []
        lane.parked.extend(entry.offset for entry in entries)
        self._parked[lane.partition] += len(entries)
        return entries

    def recalled(self, lane: Lane, entries: list[Entry]) -> None:
        """Keep the first events of a parked lane in memory."""
        lane.entries.extend(entries)
        for entry in entries:
            self._count(entry, 1)

    def replace_head(self, lane: Lane, head: Entry, halves: tuple[Entry, ...]) -> None:
        """Let `head`, which joins `halves` of the lane, stand for the head; they leave the lane with it."""
        lane.entries[0] = head
        lane.halves = halves

    def absorb(self, lane: Lane) -> tuple[Entry, ...]:
        """Remove the halves that the head has joined from the lane, and return them."""
        if not lane.halves:
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
        """Drop the head, which is settled; the next event of the lane, if any, gets its turn."""
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
        """Return no more lanes of `partitions`; attempts in flight see that their lanes are leaving."""
        for name, lane in list(self._lanes.items()):
            if lane.partition in partitions:
                lane.state = LaneState.LEAVING
                # A timer can keep a reference to the lane for as long as it runs, and
                # an attempt to its head.
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
            # The partition that was served goes to the end.
            self._ready[partition] = self._ready.pop(partition)
        return lane

    def _untried(self) -> Lane | None:
        for partition, queue in self._ready.items():
            for lane in queue:
                if lane.first_tried_at is None:
                    queue.remove(lane)
                    if not queue:
                        del self._ready[partition]
                    return lane
        return None

    def _count(self, entry: Entry, sign: int) -> None:
        self.waiting += sign
        self.waiting_bytes += sign * entry.size


# With 100,000 parked keys, a search takes some ten milliseconds of the event loop.
_LANES_A_SECOND = 1_000


class OldestEvent:
    """Finds the oldest undelivered event of a subscriber among the heads of its lanes.

    An event that waits for the receipts of others (`after`) is left out: it is
    late only if they are. A search through many lanes serves for some seconds.
    """

    def __init__(self, lanes: Lanes, clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._next_search_at = 0.0
        self._committed_at: float | None = None

    @property
    def committed_at(self) -> float | None:
        """Time at which the event was committed in Salesforce, in epoch seconds; `None` while none waits."""
        now = self._clock.monotonic()
        if now >= self._next_search_at:
            times = [at for lane in self._lanes if (at := _waits_since(lane)) is not None]
            self._committed_at = min(times, default=None)
            self._next_search_at = now + len(times) // _LANES_A_SECOND
        return self._committed_at


def _waits_since(lane: Lane) -> float | None:
    """Return the time from which on the lane's head waits, in epoch seconds."""
    if lane.awaited is not None:
        return None
    if lane.entries:
        return datetime.fromisoformat(lane.head.event.time).timestamp()
    # The event is in the log only. It failed soon after it came.
    return lane.first_failed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedListing:
    """Lists the lanes that the log keeps, in the partitions of this process."""

    lanes: Lanes
    delay_queue: DelayQueue
    in_flight: InFlight

    def keys(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` lanes that are due first, and the number of all; with `key` only its own."""
        lanes = [lane for lane in self._parked() if key is None or lane.name == key]
        first = nsmallest(most, lanes, key=lambda lane: lane.due_at)
        return ParkedKeys(total=len(lanes), keys=tuple(self._listed(lane) for lane in first))

    def _parked(self) -> Iterator[Lane]:
        return (lane for lane in self.lanes if lane.is_parked)

    def _listed(self, lane: Lane) -> ParkedKey:
        return ParkedKey(
            key=lane.name,
            partition=lane.partition,
            offset=lane.head_offset,
            events=len(lane.parked),
            state=self._state(lane),
            attempts=lane.attempts,
            due_at=lane.due_at,
            first_failed_at=lane.first_failed_at,
            first_error=lane.first_error,
            last_error=lane.last_error,
        )

    def _state(self, lane: Lane) -> ParkedState:
        if lane in self.in_flight:
            return ParkedState.TRYING
        return ParkedState.WAITING if lane in self.delay_queue else ParkedState.DUE
