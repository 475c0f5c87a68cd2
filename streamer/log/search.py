"""Search for events in any log: merges the partitions into one answer, ordered by the events' times."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamer.events import Partition
from streamer.log.search_chunks import (
    MOST_BYTES,
    Chunk,
    ChunkSource,
    Span,
    decode_cursor,
    encode_cursor,
    epoch_s,
)
from streamer.ports import EventSearch, FoundEvents, LoggedEvent

_FIRST_CHUNK = 1_000
_LEAST_CHUNK = 100
_LARGEST_CHUNK = 50_000


async def search(asked: EventSearch, source: ChunkSource) -> FoundEvents:
    """Return the events of `source` that match `asked`.

    Raises `ValueError` for a foreign cursor, and any error of the source.
    """
    spans = await source.spans()
    if asked.cursor:
        spans = _continued(spans, decode_cursor(asked.cursor, oldest_first=asked.oldest_first))
    merge = _Merge(asked, spans)
    while wanted := merge.wanted():
        merge.add(await source.read(wanted))
    return merge.answer()


def _continued(spans: Mapping[Partition, Span], left: Mapping[Partition, Span]) -> dict[Partition, Span]:
    """Return the spans of a cursor, reduced to the offsets that the log still holds."""
    return {
        partition: (max(spans[partition][0], begin), min(spans[partition][1], end))
        for partition, (begin, end) in left.items()
        if partition in spans
    }


@dataclass(slots=True, kw_only=True)
class _Side:
    """One partition in a search: its unread offsets, and matching events that are not in the answer yet.

    `edge` is the time up to which the partition was read; `None` before any read.
    """

    begin: int
    end: int
    oldest_first: bool
    pending: "deque[LoggedEvent]" = field(default_factory=deque)
    edge: float | None = None
    size: int = _FIRST_CHUNK

    @property
    def is_read(self) -> bool:
        return self.begin >= self.end

    def next_span(self, most: int) -> Span:
        self.size = size = min(self.size, most)
        if self.oldest_first:
            return self.begin, min(self.end, self.begin + size)
        return max(self.begin, self.end - size), self.end

    def add(self, chunk: Chunk) -> None:
        self.pending = chunk.events
        self.edge = chunk.edge
        # Events that did not fit into the chunk are read again.
        self.size = min(2 * min(self.size, chunk.end - chunk.begin), _LARGEST_CHUNK)
        if self.oldest_first:
            self.begin = chunk.end
        else:
            self.end = chunk.begin

    def left(self) -> Span:
        """Return the unread offsets together with the offsets of read events that are not in the answer."""
        if not self.pending:
            return self.begin, self.end
        if self.oldest_first:
            return self.pending[0].entry.offset, self.end
        return self.begin, self.pending[-1].entry.offset + 1

    def head_time(self) -> float:
        return epoch_s(self.pending[0 if self.oldest_first else -1].event)

    def pop(self) -> LoggedEvent:
        return self.pending.popleft() if self.oldest_first else self.pending.pop()


class _Merge:
    """Merges the partitions until it has found enough events, or has read enough offsets."""

    def __init__(self, asked: EventSearch, spans: Mapping[Partition, Span]) -> None:
        self._asked = asked
        self._sides = {
            partition: _Side(begin=begin, end=end, oldest_first=asked.oldest_first)
            for partition, (begin, end) in spans.items()
        }
        self._sign = 1 if asked.oldest_first else -1
        self._found: list[LoggedEvent] = []
        self._bytes = 0
        self._scanned = 0

    def wanted(self) -> dict[Partition, Span]:
        """Return the spans to read next; empty when the search is over."""
        while not self._is_full:
            ahead = self._ahead()
            if ahead and self._scanned >= self._asked.scan:
                self._tell_all()
                break
            if ahead:
                share = max((self._asked.scan - self._scanned) // len(ahead), _LEAST_CHUNK)
                return {partition: self._sides[partition].next_span(share) for partition in ahead}
            head = self._head()
            if head is None:
                break
            self._tell(head)
        return {}

    def add(self, chunks: Mapping[Partition, Chunk]) -> None:
        """Take the chunks that `wanted` asked for."""
        for partition, chunk in chunks.items():
            self._scanned += chunk.end - chunk.begin
            self._sides[partition].add(chunk)

    def answer(self) -> FoundEvents:
        """Return the events found, and the cursor at which the search continues."""
        left = {partition: side.left() for partition, side in self._sides.items()}
        left = {partition: span for partition, span in left.items() if span[0] < span[1]}
        edges = [
            side.edge
            for partition, side in self._sides.items()
            if partition in left and side.edge is not None and not side.is_read
        ]
        told = [epoch_s(each.event) for each in self._found[-1:]] if self._is_full else []
        return FoundEvents(
            events=self._found,
            scanned=self._scanned,
            is_whole=not left,
            reached=self._nearest([*edges, *told]) if left else None,
            cursor=encode_cursor(left, oldest_first=self._asked.oldest_first) if left else "",
        )

    def _nearest(self, times: list[float]) -> float | None:
        return min(times, key=self._order, default=None)

    def _order(self, at: float) -> float:
        return self._sign * at

    @property
    def _is_full(self) -> bool:
        return len(self._found) >= self._asked.limit or self._bytes >= MOST_BYTES

    def _head(self) -> _Side | None:
        pending = (side for side in self._sides.values() if side.pending)
        return min(pending, key=lambda side: self._order(side.head_time()), default=None)

    def _ahead(self) -> list[Partition]:
        """Return the partitions that must be read before the next event in time order is certain.

        The method returns all partitions without a known edge. If every partition has a
        known edge, the method returns only the partition that is furthest behind.
        """
        head = self._head()
        open_sides = {
            partition: side for partition, side in self._sides.items() if not (side.is_read or side.pending)
        }
        unread = [partition for partition, side in open_sides.items() if side.edge is None]
        if unread:
            return unread
        behind = {
            partition: self._order(side.edge or 0.0)
            for partition, side in open_sides.items()
            if head is None or self._order(side.edge or 0.0) <= self._order(head.head_time())
        }
        return [min(behind, key=behind.__getitem__)] if behind else []

    def _tell(self, side: _Side) -> None:
        told = side.pop()
        self._bytes += told.entry.size
        self._found.append(told)

    def _tell_all(self) -> None:
        """Add all pending events to the answer; events on a later page can then be out of time order."""
        while not self._is_full and (head := self._head()):
            self._tell(head)
