"""Chunks of a partition with the events that match a search, and the cursor of the next page."""

import base64
import binascii
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import orjson

from streamer.events import Event, Partition
from streamer.log.patterns import wants
from streamer.normalise.malformed import as_event_time
from streamer.ports import EventSearch, LoggedEvent

ANY_TYPE = ("*",)
# The first and the last second that a date can express.
_FIRST_S = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST_S = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


Span = tuple[int, int]
"""First offset, and the offset after the last offset."""


def matcher(asked: EventSearch) -> Callable[[Event], bool]:
    """Return a predicate that is true for events that match every field of the search `asked`."""
    wanted = wants(asked.types or ANY_TYPE)
    key = asked.key
    since, until = text_time(asked.since), text_time(asked.until)

    def matches(event: Event) -> bool:
        return (
            wanted(event.type)
            and asked.event_id in {None, event.id}
            and (key is None or key in {event.subject, event.key})
            and asked.channel in {None, event.channel}
            and (since is None or event.time >= since)
            and (until is None or event.time < until)
        )

    return matches


def text_time(at: float | None) -> str | None:
    """Return epoch seconds in the format of the times of events."""
    return None if at is None else as_event_time(datetime.fromtimestamp(min(max(at, _FIRST_S), _LAST_S), UTC))


def epoch_s(event: Event) -> float:
    """Return the time of `event` in epoch seconds."""
    return datetime.fromisoformat(event.time).timestamp()


MOST_BYTES = 8 * 1024 * 1024
"""Largest number of bytes of events in one chunk and in one answer; a single larger event is allowed."""
_LEAST_EVENTS = 100
_LEAST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Matching events with offsets from `begin` to `end` (excluded), in rising order.

    `edge` is the time, in epoch seconds, at the side where the search continues;
    `None` if no record shows that time.
    """

    events: "deque[LoggedEvent]"
    begin: int
    end: int
    edge: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Limits of a chunk: the number of its events and of their bytes."""

    events: int
    bytes: int = MOST_BYTES

    @classmethod
    def beside(cls, partitions: int, limit: int) -> "Room":
        """Return the limits of one chunk, when each of `partitions` holds one chunk of the same search.

        `limit` is the number of events that the search asks for.
        """
        each = max(1, partitions)
        return cls(
            events=min(limit, max(limit // each, _LEAST_EVENTS)), bytes=max(MOST_BYTES // each, _LEAST_BYTES)
        )


class ChunkSource(Protocol):
    """A log whose partitions can be searched."""

    async def spans(self) -> Mapping[Partition, Span]:
        """Return, for each partition, the range of offsets that can hold matching events."""
        ...

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        """Return a chunk of each span: the whole span, or its part at the side where the search begins."""
        ...


@dataclass(slots=True, kw_only=True)
class Collector:
    """Collects the matching events of one span, which is read in rising order.

    The limits in `room` apply to the collected events. When more events match, the
    collector keeps the events at the side where the search begins. The chunk then
    covers only the offsets of the kept events.
    """

    begin: int
    end: int
    room: Room
    oldest_first: bool
    _events: "deque[LoggedEvent]" = field(default_factory=deque, init=False)
    _bytes: int = field(default=0, init=False)
    _is_full: bool = field(default=False, init=False)
    _edge: float | None = field(default=None, init=False)

    def saw(self, at: float) -> None:
        """Note the time of any record of the span; do nothing if the chunk is full."""
        if self._is_full:
            return
        if self.oldest_first or self._edge is None:
            self._edge = at

    @property
    def is_full(self) -> bool:
        """True when the chunk needs no later offset of the span."""
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
                self._edge = epoch_s(logged.event)
            return
        while self._exceeds(len(self._events), self._bytes) and len(self._events) > 1:
            gone = self._events.popleft()
            self._bytes -= gone.entry.size
            self.begin = gone.entry.offset + 1
            self._edge = epoch_s(self._events[0].event)

    def chunk(self) -> Chunk:
        """Return the chunk of the events collected so far."""
        return Chunk(events=self._events, begin=self.begin, end=self.end, edge=self._edge)

    def _exceeds(self, events: int, size: int) -> bool:
        return events > self.room.events or size > self.room.bytes


LONGEST_CURSOR = 6_000
"""Largest number of characters of a cursor; a longer cursor would not fit into the URL of a request."""
_MOST_CURSOR_BYTES = 1024 * 1024
_FOREIGN_CURSOR = "the cursor belongs to a search with other options: search again without a cursor"


def encode_cursor(left: Mapping[Partition, Span], *, oldest_first: bool) -> str:
    """Return the cursor for the remaining spans; empty when the cursor would be too long."""
    topics: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for partition, (begin, end) in left.items():
        topics[partition.topic].append((partition.number, begin, end))
    body = orjson.dumps({"v": 1, "oldest_first": oldest_first, "left": topics})
    text = base64.urlsafe_b64encode(zlib.compress(body, 9)).decode("ascii")
    return text if len(text) <= LONGEST_CURSOR else ""


def decode_cursor(text: str, *, oldest_first: bool) -> dict[Partition, Span]:
    """Return the spans in a cursor; raises `ValueError` unless the text is a cursor of this sort order."""
    try:
        body = orjson.loads(_inflated(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)))
        left = {
            Partition(topic=topic, number=_whole(number)): (_whole(begin), _whole(end))
            for topic, spans in body["left"].items()
            for number, begin, end in spans
        }
        is_ours = body["v"] == 1 and body["oldest_first"] is oldest_first
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error, zlib.error) as error:
        raise ValueError(_FOREIGN_CURSOR) from error
    if not is_ours:
        raise ValueError(_FOREIGN_CURSOR)
    return left


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    body = inflate.decompress(packed, _MOST_CURSOR_BYTES)
    if not inflate.eof:
        raise ValueError("the cursor is incomplete or too large")
    return body


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("the cursor holds an invalid offset")
    return number
