"""Chunks of a partition that a search has read."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamer.events import Partition
from streamer.log.search.matching import epoch_s
from streamer.ports import LoggedEvent

MOST_BYTES = 8 * 1024 * 1024
"""Most bytes of events in one chunk, and in one answer; one event always fits."""

_LEAST_EVENTS = 100
_LEAST_BYTES = 64 * 1024

Span = tuple[int, int]
"""First offset, and the offset behind the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Matching events of the offsets from `begin` to `end` (excluded), in rising order.

    `edge` (epoch seconds) is the time at the side where the search goes on, and
    `None` where no record tells it.
    """

    events: "deque[LoggedEvent]"
    begin: int
    end: int
    edge: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Most events of a chunk, and most of their bytes."""

    events: int
    bytes: int = MOST_BYTES

    @classmethod
    def beside(cls, partitions: int, limit: int) -> "Room":
        """Return the room of one of `partitions`, which all hold a chunk of a search for `limit` events."""
        each = max(1, partitions)
        return cls(
            events=min(limit, max(limit // each, _LEAST_EVENTS)), bytes=max(MOST_BYTES // each, _LEAST_BYTES)
        )


class ChunkSource(Protocol):
    """Log whose partitions are searched."""

    async def spans(self) -> Mapping[Partition, Span]:
        """Return the offsets of each partition that can hold matching events."""
        ...

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        """Return a chunk of each span: all of it, or the part at the side where the search begins."""
        ...


@dataclass(slots=True, kw_only=True)
class Collector:
    """Collects the matching events of one span, which is read upwards.

    It holds at most `most` events, of `most_bytes` together. Of more it keeps those at the
    side where the search begins, and the chunk covers no other offsets.
    """

    begin: int
    end: int
    most: int
    oldest_first: bool
    most_bytes: int = MOST_BYTES
    _events: "deque[LoggedEvent]" = field(default_factory=deque, init=False)
    _bytes: int = field(default=0, init=False)
    _is_full: bool = field(default=False, init=False)
    _first_at: float | None = field(default=None, init=False)
    _last_at: float | None = field(default=None, init=False)

    def saw(self, at: float) -> None:
        """Note the time of a record of the span, matching or not; those behind a full chunk do not count."""
        if self._is_full:
            return
        if self._first_at is None:
            self._first_at = at
        self._last_at = at

    @property
    def is_full(self) -> bool:
        """True when no later offset of the span is wanted."""
        return self._is_full

    def add(self, logged: LoggedEvent) -> None:
        """Keep a matching event, unless the chunk is full."""
        if self.is_full:
            return
        self._events.append(logged)
        self._bytes += logged.entry.size
        if self.oldest_first:
            if self._exceeds(len(self._events) + 1, self._bytes + 1):
                self._is_full = True
                self.end = logged.entry.offset + 1
                self._last_at = epoch_s(logged.event)
            return
        while self._exceeds(len(self._events), self._bytes) and len(self._events) > 1:
            gone = self._events.popleft()
            self._bytes -= gone.entry.size
            self.begin = gone.entry.offset + 1
            self._first_at = epoch_s(self._events[0].event)

    def chunk(self) -> Chunk:
        """Return what was collected."""
        edge = self._last_at if self.oldest_first else self._first_at
        return Chunk(events=self._events, begin=self.begin, end=self.end, edge=edge)

    def _exceeds(self, events: int, size: int) -> bool:
        return events > self.most or size > self.most_bytes
