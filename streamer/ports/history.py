"""Contracts for reading a log's events without recording a position in it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import (
    Checkpoint,
    Entry,
    Event,
    EventId,
    ParkedLane,
    Partition,
    Receipt,
    SettledOffsets,
    SubscriberName,
    record_id_of,
)

MOST_FOUND = 1_000
"""Largest number of events in the answer to one search."""

MOST_SCANNED = 2_000_000
"""Most log positions that one search examines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryStart:
    """Offsets at which the events since a given time begin.

    If earlier events since that time can have been deleted, `begins_at` (epoch
    seconds) is the time of the log's first event; otherwise `begins_at` is `None`.
    """

    offsets: Mapping[Partition, int]
    begins_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Events in the order of their partitions, and the approximate number of offsets that are `left`."""

    events: Sequence[Event]
    left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSearch:
    """Search for events; a field that is `None` or empty matches all events.

    `record` is a record id with 15 or 18 characters, or another key of events.
    `types` are patterns, with `*` for any run of characters; `channel` is a path.
    `since` and `until` (exclusive) are epoch seconds, and are compared with the
    events' own times. With `forwarded_to`, the search covers the copies that were
    forwarded to this subscriber.

    The answer has at most `limit` events, and the search examines about `scan` log
    positions. `cursor` continues an earlier search with the same fields. Events with
    a key are in one partition, unless the number of partitions has changed;
    `every_partition` searches all partitions.
    """

    event_id: EventId | None = None
    record: str | None = None
    types: tuple[str, ...] = ()
    channel: str | None = None
    since: float | None = None
    until: float | None = None
    forwarded_to: SubscriberName | None = None
    every_partition: bool = False
    oldest_first: bool = False
    limit: int = 50
    scan: int = 100_000
    cursor: str = ""

    @property
    def key(self) -> str | None:
        """Key of the wanted events: a record id in 18 characters, or another key unchanged."""
        return record_id_of(self.record) or self.record


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """Event with its position in the log; `appended_at` is `None` if the log does not store that time."""

    entry: Entry
    appended_at: float | None = None

    @property
    def event(self) -> Event:
        """The event."""
        return self.entry.event


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvents:
    """Answer to a search that examined `scanned` log positions.

    With `is_whole`, nothing is left to search. Otherwise `cursor` continues the
    search. A cursor that would be too long is empty. `reached` (epoch seconds) is
    the time of the event up to which all partitions were searched, or `None` if
    there is no such event. Events of one partition are in order. Up to `reached`,
    events of several partitions are in the order of their times.
    """

    events: Sequence[LoggedEvent]
    scanned: int
    is_whole: bool
    reached: float | None = None
    cursor: str = ""


MOST_RECEIPTS = 500_000
"""Largest number of receipts that one search examines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReceipts:
    """Receipts of events; the receipts of one event are ordered from the oldest.

    Without `is_whole`, the search did not examine later receipts.
    """

    receipts: Sequence[Receipt]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberPlace:
    """Recorded work of one subscriber at one position in the log.

    `progress` is the subscriber's progress in the partition, or `None` if none is
    recorded. If the event at the position is parked, `lane` is its parked lane.
    """

    progress: SettledOffsets | None = None
    lane: ParkedLane | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedPage:
    """Appended events, in the order of their partitions.

    `skipped` positions before them were left out, because the reader was too slow.
    """

    events: Sequence[LoggedEvent]
    skipped: int = 0


class EventHistory(Protocol):
    """The log for operators, and for processes that do not own the log.

    Reading changes nothing in the log, and memory is bounded. Every method raises
    `LogUnavailable`, and `LogMisconfigured` if an operator must act.
    """

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the last committed checkpoint of each channel."""
        ...

    async def start(self, entity: str, at: float, /) -> HistoryStart:
        """Return where the change events of `entity` appended since `at` (epoch seconds) begin.

        A few older events can come first.
        """
        ...

    def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the change events of `entity` from `start` to the current end of the log.

        Memory is bounded.
        """
        ...

    async def find(self, asked: EventSearch, /) -> FoundEvents:
        """Return committed events that match a search. Raises `ValueError` for another search's cursor.

        Events can be missing for a moment after their commit.
        """
        ...

    async def at(self, partition: Partition, offset: int, /) -> LoggedEvent | None:
        """Return the event at a position in the log, or `None` if the position has no event (any more)."""
        ...

    async def receipts(
        self, events: Sequence[Event], since: float, /, *, most: int = MOST_RECEIPTS
    ) -> FoundReceipts:
        """Return the receipts of `events` that were recorded since about `since` (epoch seconds).

        The search examines about `most` receipts.
        """
        ...

    async def place(
        self, subscriber: SubscriberName, partition: Partition, offset: int, /
    ) -> SubscriberPlace:
        """Return a subscriber's recorded work at a position in the log."""
        ...

    def appended(self) -> AsyncGenerator[AppendedPage, None]:
        """Yield pages of the events that are appended from now on, without end.

        The first page is empty, and every event that is appended after it will
        follow. Appends never wait for the reader. A reader that is too slow gets
        the latest events, and the number of positions that it has missed.
        """
        ...
