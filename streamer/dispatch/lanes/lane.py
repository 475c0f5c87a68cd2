"""Lane: a queue of undelivered events, which is in flight, waits for a retry, or is ready."""

import asyncio
import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from itertools import count

from streamer.clock import Clock
from streamer.events import Entry, EventId, Partition, Setback
from streamer.ports import LaneChange

LaneName = tuple[Partition, str]
"""Name of a lane among those of all partitions, for the lifetime of its key."""


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
    """This process owns the lane until the handover: attempts in flight can end, and none can begin."""
    GONE = auto()
    """Another process owns the lane: further results of attempts count for nothing."""


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """Events of one partition that are delivered one after another; the head is the one being tried.

    `entries` are in memory. All events of a parked lane are in the log, at the
    offsets `parked`, and `entries` are the first of them that were recalled. The
    attempts and errors belong to the head; times are epoch seconds.

    A subscriber that comes after several others gets an event from each of
    them. `halves` are those in the lane beside the head that belong to the
    same event, once they are joined; `awaited` is the event while some are
    missing. `places` are the offsets of all entries by event, if they are
    known and needed. `redriven` are the times at which entries came back, by
    their offsets.
    """

    partition: Partition
    name: str
    entries: deque[Entry] = field(default_factory=deque)
    parked: deque[int] = field(default_factory=deque)
    attempts: int = 0
    tried_s: float = 0.0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0
    state: LaneState = LaneState.OPEN
    halves: tuple[Entry, ...] = ()
    awaited: EventId | None = None
    places: dict[EventId, list[int]] | None = None
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

    def failed(self, error: str, now: float, *, took_s: float = 0.0) -> None:
        """Count one failed attempt at the head, and the time that it took."""
        self.attempts += 1
        self.tried_s += took_s
        self.last_error = error
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = now, error

    def waits(self, reason: str) -> None:
        """Note why the head can't be tried yet; it costs no attempt."""
        self.last_error = reason

    def give_back(self, attempts: int) -> None:
        """Subtract attempts that failed for no fault of the head."""
        left = max(0, self.attempts - attempts)
        self.tried_s *= left / max(1, self.attempts)
        self.attempts = left
        if not self.attempts:
            self.first_failed_at, self.first_error, self.last_error = None, "", ""

    @property
    def setback(self) -> Setback:
        """Failures of the head, for the log to keep."""
        return Setback(
            attempts=self.attempts,
            first_failed_at=self.due_at if self.first_failed_at is None else self.first_failed_at,
            due_at=self.due_at,
            first_error=self.first_error,
            last_error=self.last_error,
        )

    def change(self, *, joined: Sequence[Entry] = (), left: Sequence[int] = ()) -> LaneChange:
        """Return the change that the log is to record: events that joined, and offsets that left."""
        return LaneChange(
            partition=self.partition,
            lane=self.name,
            setback=self.setback if self.is_parked else None,
            joined=joined,
            left=left,
        )

    def absorb(self) -> tuple[Entry, ...]:
        """Drop the halves that the head has joined, and return them."""
        halves, self.halves = self.halves, ()
        if halves:
            offsets = {half.offset for half in halves}
            self.entries = deque(entry for entry in self.entries if entry.offset not in offsets)
            self.parked = deque(offset for offset in self.parked if offset not in offsets)
        return halves

    def forget_places(self, event: EventId, offsets: Collection[int]) -> None:
        """Drop the places of an event at `offsets`, which are settled; a redrive can have others of it."""
        if self.places is not None:
            left = [offset for offset in self.places.pop(event, ()) if offset not in offsets]
            if left:
                self.places[event] = left

    def advance(self) -> None:
        """Drop the head; the next event has no attempts yet."""
        if self.redriven:
            self.redriven.pop(self.head_offset, None)
        if self.parked:
            self.parked.popleft()
        if self.entries:
            self.entries.popleft()
        self.attempts, self.tried_s = 0, 0.0
        self.first_tried_at = self.first_failed_at = None
        self.first_error = self.last_error = ""
        self.awaited = None


class InFlight:
    """The lanes that are being tried, each at most once; its length counts them."""

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
        """Wait until all attempts at `lanes` have ended; by default, at the lanes now in flight."""
        awaited = set(self._lanes if lanes is None else lanes)
        while awaited & self._lanes:
            self._landed.clear()
            await self._landed.wait()


_LEAST_S = 0.001


class DelayQueue:
    """Returns lanes when they are due; a heap keeps this fast for any number of lanes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Lane]] = []
        self._numbers = count()
        self._due_at: dict[Lane, float] = {}
        # Kept apart, because there can be very many parked lanes.
        self._unparked: dict[Lane, None] = {}
        self._sooner = asyncio.Event()

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._due_at

    @property
    def unparked(self) -> list[Lane]:
        """Waiting lanes that are not parked."""
        return list(self._unparked)

    @property
    def next_s(self) -> float | None:
        """Seconds until the next lane is due; `None` when none waits."""
        self._drop_outdated()
        return max(0.0, self._heap[0][0] - self._clock.monotonic()) if self._heap else None

    def left_s(self, lane: Lane) -> float:
        """Return the seconds that `lane` still has to wait."""
        return max(0.0, self._due_at[lane] - self._clock.monotonic())

    def put(self, lane: Lane, delay_s: float) -> None:
        """Let `lane` wait for `delay_s` seconds from now; this replaces an earlier due time."""
        due_at = self._clock.monotonic() + delay_s
        self._due_at[lane] = due_at
        if lane.is_parked:
            self._unparked.pop(lane, None)
        else:
            self._unparked[lane] = None
        heapq.heappush(self._heap, (due_at, next(self._numbers), lane))
        self._sooner.set()

    def drop(self, partitions: frozenset[Partition]) -> None:
        """Forget the lanes of `partitions`."""
        for lane in [lane for lane in self._due_at if lane.partition in partitions]:
            self._forget(lane)
        self._heap = [each for each in self._heap if each[2] in self._due_at]
        heapq.heapify(self._heap)

    async def due(self) -> Lane:
        """Wait for the next lane that is due, and return it."""
        while True:
            self._drop_outdated()
            if self._heap:
                due_at, _, lane = self._heap[0]
                left_s = due_at - self._clock.monotonic()
                if left_s <= 0:
                    heapq.heappop(self._heap)
                    self._forget(lane)
                    return lane
            else:
                left_s = None
            await self._until_sooner(left_s)

    def _drop_outdated(self) -> None:
        """Remove entries whose lane waits until another time, or was lost, from the top of the heap."""
        while self._heap:
            due_at, _, lane = self._heap[0]
            if self._due_at.get(lane) == due_at and lane.state is LaneState.OPEN:
                return
            heapq.heappop(self._heap)

    def _forget(self, lane: Lane) -> None:
        del self._due_at[lane]
        self._unparked.pop(lane, None)

    async def _until_sooner(self, timeout_s: float | None) -> None:
        self._sooner.clear()
        if timeout_s is None:
            await self._sooner.wait()
            return
        try:
            # The rest can be shorter than the resolution of a clock.
            async with self._clock.timeout(max(_LEAST_S, timeout_s)):
                await self._sooner.wait()
        except TimeoutError:
            return
