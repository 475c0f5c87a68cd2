"""One queue of undelivered events that wait for each other."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from streamer.events import Entry, Partition, Setback


class Order(StrEnum):
    """Which events wait for each other."""

    KEY = "key"
    PARTITION = "partition"
    NONE = "none"

    def lane_of(self, entry: Entry) -> str:
        """Return the name of the lane that `entry` belongs to, in its partition."""
        match self:
            case Order.KEY:
                return entry.event.key
            case Order.PARTITION:
                return ""
            case Order.NONE:
                return str(entry.offset)


class LaneState(Enum):
    """Whose a lane is."""

    OPEN = auto()
    """Ours."""
    LEAVING = auto()
    """Ours until it is handed over: what is under way may end, and nothing may begin."""
    GONE = auto()
    """Another process's: nothing that we still learn of it counts."""


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """Events of one partition that are delivered one after the other; the head is the one being tried.

    `entries` are in memory. Of a lane that is parked all events are in the
    log, at the offsets `parked`, and `entries` are the first of them, as far
    as they were recalled. What stands here of attempts and errors is the
    head's; times are epoch seconds.
    """

    partition: Partition
    name: str
    entries: deque[Entry] = field(default_factory=deque)
    parked: deque[int] = field(default_factory=deque)
    attempts: int = 0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0
    state: LaneState = LaneState.OPEN

    @property
    def full_name(self) -> tuple[Partition, str]:
        """Its name among the lanes of all partitions."""
        return self.partition, self.name

    @property
    def head(self) -> Entry:
        """The event whose turn it is."""
        return self.entries[0]

    @property
    def head_offset(self) -> int:
        """Where the head is in the partition."""
        return self.entries[0].offset if self.entries else self.parked[0]

    @property
    def is_parked(self) -> bool:
        """Whether the log keeps its events."""
        return bool(self.parked)

    def failed(self, error: str, now: float) -> None:
        """Count one attempt at the head that failed."""
        self.attempts += 1
        self.last_error = error
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = now, error

    def give_back(self, attempts: int) -> None:
        """Take back attempts at the head that say nothing of it."""
        self.attempts = max(0, self.attempts - attempts)
        if not self.attempts:
            self.first_failed_at, self.first_error, self.last_error = None, "", ""

    @property
    def setback(self) -> Setback:
        """What the log is to keep of the head."""
        return Setback(
            attempts=self.attempts,
            first_failed_at=self.due_at if self.first_failed_at is None else self.first_failed_at,
            due_at=self.due_at,
            first_error=self.first_error,
            last_error=self.last_error,
        )

    def advance(self) -> None:
        """Drop the head; the next event has not been tried yet."""
        if self.parked:
            self.parked.popleft()
        if self.entries:
            self.entries.popleft()
        self.attempts = 0
        self.first_tried_at = self.first_failed_at = None
        self.first_error = self.last_error = ""
