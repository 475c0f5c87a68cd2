"""Contract of reading one entity's events in a log, without a place of one's own in it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import Checkpoint, Event, Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStart:
    """Offsets at which the events since a time begin.

    `begins_at` (epoch seconds) is the time of the first event that the log
    still holds, where events between the time that was asked for and this one
    can have been deleted; otherwise it is `None`.
    """

    offsets: Mapping[Partition, int]
    begins_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Events in the order of their partitions; about `left` offsets follow."""

    events: Sequence[Event]
    left: int = 0


class EventHistory(Protocol):
    """Log, as a process reads it that owns nothing of it.

    Every method raises `LogUnavailable`, and `LogMisconfigured` when an
    operator must act.
    """

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the last committed checkpoint of each channel."""
        ...

    async def start(self, entity: str, at: float, /) -> HistoryStart:
        """Return where the change events of `entity` begin that were appended since `at` (epoch seconds).

        A few that are older can come first.
        """
        ...

    def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the change events of `entity` from `start` up to the present end of the log, and end.

        Memory is bounded.
        """
        ...
