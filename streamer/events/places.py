"""Events with their positions in the log, a subscriber's progress, and its parked lanes."""

from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.events.event import Event, value_of_every_event
from streamer.events.outcomes import FailedAttempt


class Partition(NamedTuple):
    """One ordered part of the log; processes share the work by partitions."""

    # A tuple, because a delivery looks ten times for something by its partition.

    topic: str
    number: int


@value_of_every_event
class Entry:
    """Event with its position in the log; `size` is the event's size in the log, in bytes.

    `is_admitted` is true once the process that reads the event has found that the
    event is for the target.
    """

    partition: Partition
    offset: int
    event: Event
    size: int = field(default=0, compare=False)
    is_admitted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledOffsets:
    """Settled offsets of one subscriber in one partition.

    Every offset below `next_offset` is settled, and so is each offset in
    `settled_above`.
    """

    next_offset: int
    settled_above: frozenset[int] = frozenset()

    def covers(self, offset: int) -> bool:
        """Return true if `offset` is settled."""
        return offset < self.next_offset or offset in self.settled_above

    @property
    def end(self) -> int:
        """Offset after the last settled offset."""
        return max(self.next_offset, max(self.settled_above, default=-1) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Failures of a lane's head, and the time of its next attempt.

    `attempts` counts the attempts so far. `first_failed_at` and `due_at` are epoch
    seconds. `failed_attempts` are the attempts, as far as they were kept.
    """

    attempts: int
    first_failed_at: float
    due_at: float
    first_error: str
    last_error: str
    failed_attempts: tuple[FailedAttempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLane:
    """Lane that the log keeps because its head keeps failing.

    `offsets` are the ascending offsets of the lane's events in the partition from
    which they were read.
    """

    lane: str
    offsets: tuple[int, ...]
    setback: Setback
