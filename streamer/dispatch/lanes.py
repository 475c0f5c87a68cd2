"""The queues of one subscriber's undelivered events, one for each key."""

from asyncio import Queue
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.events import Entry, Partition


class LaneState(Enum):
    """Whose a lane is."""

    OPEN = auto()
    """Ours."""
    LEAVING = auto()
    """Ours until it is handed over: what is under way may end, and nothing may begin."""
    GONE = auto()
    """Another process's: nothing that we still learn of it counts."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """Events of one key in one partition, in order; the head is the one being delivered.

    `attempts` and `first_failed_at` (epoch seconds) are the head's.
    """

    partition: Partition
    key: str
    entries: deque[Entry] = field(default_factory=deque)
    attempts: int = 0
    first_failed_at: float | None = None
    state: LaneState = LaneState.OPEN

    @property
    def head(self) -> Entry:
        """The event whose turn it is."""
        return self.entries[0]


class Lanes:
    """All lanes of one subscriber, and whose turn it is.

    A lane is ready, or being delivered, or waiting for its next attempt; it is
    handed out by :meth:`take` to one worker at a time, in the order in which
    lanes became ready.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._lanes: dict[tuple[Partition, str], Lane] = {}
        self._ready: Queue[Lane] = Queue()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many events are held, those being delivered included."""
        return self._waiting

    @property
    def ready(self) -> bool:
        """Whether a head is there to be tried."""
        return not self._ready.empty()

    def put(self, entry: Entry) -> None:
        """Queue `entry` behind the others of its key."""
        name = (entry.partition, entry.event.key)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(partition=entry.partition, key=entry.event.key)
            self._ready.put_nowait(lane)
        lane.entries.append(entry)
        self._waiting += 1

    async def take(self) -> Lane:
        """Wait for a lane whose head may be tried."""
        while True:
            lane = await self._ready.get()
            if lane.state is LaneState.OPEN:
                return lane

    def again(self, lane: Lane) -> None:
        """Hand the same head out again."""
        self._ready.put_nowait(lane)

    def advance(self, lane: Lane) -> None:
        """Drop the head, which is settled; the next event of the key, if any, gets its turn."""
        lane.entries.popleft()
        self._waiting -= 1
        lane.attempts, lane.first_failed_at = 0, None
        if lane.entries:
            self._ready.put_nowait(lane)
        else:
            del self._lanes[lane.partition, lane.key]

    def leave(self, partitions: frozenset[Partition]) -> None:
        """Hand out no more of `partitions`; attempts under way find their lanes leaving."""
        for name, lane in list(self._lanes.items()):
            if lane.partition in partitions:
                lane.state = LaneState.LEAVING
                self._waiting -= len(lane.entries)
                # A timer may hold on to the lane for as long as it runs, and
                # an attempt to its head.
                head = lane.head
                lane.entries.clear()
                lane.entries.append(head)
                del self._lanes[name]
