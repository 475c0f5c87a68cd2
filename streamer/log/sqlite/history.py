"""History of the log's file, for the owner of the file or for another process."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from sqlite3 import Connection
from typing import Self

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.errors import LogMisconfigured
from streamer.events import Checkpoint, Event, Partition, Receipt, SubscriberName
from streamer.log.foreign_records import ForeignRecords
from streamer.log.patterns import change_type_stem, glob
from streamer.log.search import search
from streamer.log.search_chunks import ANY_TYPE, Chunk, Collector, Room, Span, matcher
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import end, read_checkpoints
from streamer.log.sqlite.rows.offsets import PARTITION, first_appended
from streamer.log.sqlite.rows.parked import read_lane
from streamer.log.sqlite.rows.search import (
    ROWS_AT_ONCE,
    appended_at,
    parked_lane_of,
    read_at,
    read_found,
    read_receipts,
    receipt_bounds,
)
from streamer.log.sqlite.rows.subscribers import OffsetRange, known_place, read_page
from streamer.observe.process import Pulses
from streamer.ports import (
    MOST_RECEIPTS,
    AppendedPage,
    EventSearch,
    FoundEvents,
    FoundReceipts,
    HistoryPage,
    HistoryStart,
    LoggedEvent,
    SubscriberPlace,
)
from streamer.settings import SqliteLogSettings

# SQLite limits the depth of an expression.
_IDS_AT_ONCE = 100
_LOOK_S = 0.1
# Readers of the newest events that fall further behind skip events, because operators want to
# see the newest events.
_MOST_BEHIND = 20_000


class SqliteHistory:
    """`EventHistory` of the log's file.

    Each page is read in a separate short transaction, so that the owner of the file can
    empty the write-ahead log between two pages.
    """

    def __init__(self, reader: Worker, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self.foreign = ForeignRecords()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: SqliteLogSettings, clock: Clock) -> AsyncIterator[Self]:
        """Open the file read-only, on the same machine as the process that owns it.

        Raises `LogMisconfigured` if the file is missing or has another version.
        """
        path = settings.path
        if not path.is_file():
            raise LogMisconfigured(
                f"there is no file {path.absolute()}: run this command where the daemon runs (the "
                "same machine, container and folder), or correct log.sqlite.path"
            )
        async with Worker.sharing(path, pulses=Pulses(clock)) as reader:
            yield cls(reader, clock)

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of all channels."""
        return await self._reader.submit(partial(read_checkpoints, foreign=self.foreign))

    async def start(self, entity: str, at: float, /) -> HistoryStart:  # noqa: ARG002 - all entities share the file
        """Return the offset of the first event since `at`, by the clock of the process that appended it."""
        return await self._reader.submit(partial(_start, at=at - CLOCKS_DIFFER_S))

    async def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the events from `start` on, one page at a time."""
        last = await self._reader.submit(end)
        window = OffsetRange(
            begin=start.offsets[PARTITION], end=last, globs=[f"{glob(change_type_stem(entity))}*"]
        )
        while window.begin < window.end:
            entries, through = await self._reader.submit(partial(read_page, window=window))
            window = replace(window, begin=through)
            yield HistoryPage(events=[entry.event for entry in entries], left=last - through)

    async def find(self, asked: EventSearch, /) -> FoundEvents:
        """Return the events that a search matches."""
        return await search(asked, _EventRows(reader=self._reader, asked=asked))

    async def at(self, partition: Partition, offset: int, /) -> LoggedEvent | None:
        """Return the event at `offset`."""
        if partition != PARTITION:
            return None
        return await self._reader.submit(partial(read_at, offset=offset))

    async def receipts(
        self, events: Sequence[Event], since: float, /, *, most: int = MOST_RECEIPTS
    ) -> FoundReceipts:
        """Return the receipts of events from a limited number of rows, beginning at the time `since`."""
        ids = [each.id for each in events]
        begin, end = await self._reader.submit(partial(receipt_bounds, at=since - CLOCKS_DIFFER_S))
        last = min(end, begin + most)
        found: list[Receipt] = []
        for first in range(begin, last, ROWS_AT_ONCE):
            end_of_page = min(first + ROWS_AT_ONCE, last)
            for at in range(0, len(ids), _IDS_AT_ONCE):
                some = ids[at : at + _IDS_AT_ONCE]
                more = partial(
                    read_receipts, event_ids=some, begin=first, end=end_of_page, foreign=self.foreign
                )
                found += await self._reader.submit(more)
        return FoundReceipts(receipts=found, is_whole=last == end)

    async def place(
        self, subscriber: SubscriberName, partition: Partition, offset: int, /
    ) -> SubscriberPlace:
        """Return the progress of a subscriber, and the parked lane that holds `offset`."""
        if partition != PARTITION:
            return SubscriberPlace()
        return await self._reader.submit(partial(_place, subscriber=subscriber, offset=offset))

    async def appended(self) -> AsyncGenerator[AppendedPage, None]:
        """Yield the events that are appended from now on, with ten checks of the file a second."""
        begin = await self._reader.submit(end)
        yield AppendedPage(events=[])
        while True:
            await self._clock.sleep(_LOOK_S)
            last = await self._reader.submit(end)
            skipped = max(0, last - begin - _MOST_BEHIND)
            window = OffsetRange(begin=begin + skipped, end=last, globs=ANY_TYPE)
            if window.begin < window.end:
                entries, begin = await self._reader.submit(partial(read_page, window=window))
                at = await self._reader.submit(partial(appended_at, offset=window.begin))
                events = [LoggedEvent(entry=entry, appended_at=at) for entry in entries]
                yield AppendedPage(events=events, skipped=skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EventRows:
    """`ChunkSource` of the rows of events."""

    reader: Worker
    asked: EventSearch

    async def spans(self) -> Mapping[Partition, Span]:
        since = self.asked.since
        at = 0.0 if since is None else since - CLOCKS_DIFFER_S
        first = await self.reader.submit(partial(first_appended, at=at))
        return {PARTITION: (first.offset, await self.reader.submit(end))}

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        return {partition: await self._chunk(*span) for partition, span in spans.items()}

    async def _chunk(self, begin: int, end: int) -> Chunk:
        """Return the chunk of at most ten thousand rows at the side where the search begins."""
        asked, upwards = self.asked, self.asked.oldest_first
        if upwards:
            end = min(end, begin + ROWS_AT_ONCE)
        else:
            begin = max(begin, end - ROWS_AT_ONCE)
        page = await self.reader.submit(partial(read_found, asked=asked, begin=begin, end=end))
        collector = Collector(
            begin=page.begin, end=page.end, room=Room(events=asked.limit), oldest_first=upwards
        )
        matches = matcher(asked)
        for logged in page.events:
            if matches(logged.event):
                collector.add(logged)
        chunk = collector.chunk()
        # SQLite returns only matching rows, so the time at the edge needs a query.
        edge = await self.reader.submit(
            partial(appended_at, offset=chunk.end - 1 if upwards else chunk.begin)
        )
        return replace(chunk, edge=edge)


def _place(connection: Connection, subscriber: SubscriberName, offset: int) -> SubscriberPlace:
    place, lane = known_place(connection, subscriber), parked_lane_of(connection, subscriber, offset)
    return SubscriberPlace(
        progress=place.progress if place else None,
        lane=None if lane is None else read_lane(connection, subscriber, lane),
    )


def _start(connection: Connection, at: float) -> HistoryStart:
    first = first_appended(connection, at)
    return HistoryStart(offsets={PARTITION: first.offset}, begins_at=first.is_cut_at)
