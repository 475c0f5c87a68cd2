"""Feed of one subscriber from the log's file, and its settlements."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import structlog

from streamer.clock import Clock
from streamer.errors import Fenced, LogUnavailable
from streamer.events import Entry, ParkedLane, Partition
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import AppendedEnd
from streamer.log.sqlite.rows.offsets import PARTITION
from streamer.log.sqlite.rows.parked import parked_among, read_lanes, read_parked
from streamer.log.sqlite.rows.subscribers import (
    EncodedSettlement,
    OffsetRange,
    StoredPosition,
    encode_settlement,
    known_place,
    read_page,
    window_of,
    write_settlement,
)
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

_PAUSE_S = 1.0

_log = structlog.get_logger()
_ASSIGNMENT = 1


class SqliteSettler:
    """Records each settlement once, in the order of the calls; waits while the disk is full.

    Even a failed commit can have taken effect. So settlements are numbered, the file
    stores the last number, and a retry first checks whether this number is already
    stored. When `settle` returns, the settlement with its receipts is in the file.
    """

    def __init__(
        self,
        writer: Worker,
        clock: Clock,
        place: StoredPosition,
        *,
        appended: Callable[[AppendedEnd], None],
        freed: asyncio.Event,
    ) -> None:
        """Continue the numbering of settlements that `place` has.

        `freed` is set after each settlement. After a settlement that forwarded events,
        `appended` is called on the loop with the end and the size of the log.
        """
        self._writer = writer
        self._clock = clock
        self._subscriber = place.subscriber
        self._number = place.settlements
        self._appended = appended
        self._freed = freed
        self._lock = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """Start no further settlement, because the next feed can already have read the stored progress."""
        self._closed = True

    async def settle(self, settlement: Settlement) -> None:
        """Return when `settlement` is durable; raises `LogUnavailable` after `close`."""
        async with self._lock:
            self._number += 1
            encoded = encode_settlement(
                settlement, subscriber=self._subscriber, number=self._number, now=self._clock.now()
            )
            delayed = False
            while reason := await self._try(encoded):
                if not delayed:
                    _log.warning("settlement.delayed", subscriber=self._subscriber, reason=reason)
                delayed = True
                await self._clock.sleep(_PAUSE_S)

    async def _try(self, settlement: EncodedSettlement) -> str:
        if self._closed:
            raise LogUnavailable(f"the feed of subscriber {self._subscriber} is closed")
        try:
            await self._writer.submit(
                partial(write_settlement, settlement=settlement),
                weight=settlement.weight,
                then=self._recorded,
            )
        except LogUnavailable as exc:
            if self._writer.is_closed:
                raise
            return str(exc)
        return ""

    def _recorded(self, written: AppendedEnd | None) -> None:
        self._freed.set()
        if written is not None:
            self._appended(written)


async def settled_events(
    reader: Worker, subscription: Subscription, begin: Mapping[Partition, int]
) -> AsyncGenerator[Entry, None]:
    """Yield a subscriber's settled entries in pages, so that the subscriber's feed can read in between."""
    place = await reader.submit(partial(known_place, name=subscription.subscriber))
    if place is None or PARTITION not in begin:
        return
    window = window_of(subscription, begin=begin[PARTITION], end=place.progress.end)
    while window.begin < window.end:
        entries, through = await reader.submit(partial(_read, window=window, place=place))
        for entry in entries:
            yield entry
        window = replace(window, begin=through)


def _read(
    connection: sqlite3.Connection, window: OffsetRange, place: StoredPosition
) -> tuple[list[Entry], int]:
    entries, through = read_page(connection, window)
    # The progress is read before the parked events. An event that is delivered between the two
    # reads then counts as settled.
    parked = parked_among(connection, place.subscriber, window.begin, through)
    finished = [
        entry
        for entry in entries
        if place.progress.covers(entry.offset)
        and entry.offset not in parked
        and entry.event.time >= place.not_before
    ]
    return finished, through


class SqliteFeed:
    """Feed of a subscriber; the file is one partition, which is assigned once."""

    def __init__(
        self,
        reader: Worker,
        subscription: Subscription,
        place: StoredPosition,
        settler: SqliteSettler,
        *,
        end: int,
    ) -> None:
        """Begin at `place` in a log with the end offset `end`."""
        self.subscription = subscription
        self._reader = reader
        self._settler = settler
        self._place = place
        self._window = window_of(subscription, begin=place.progress.next_offset, end=end)
        self._error: BaseException | None = None
        self._has_expired = place.expired > 0
        self._assigned = False
        self._paused = False
        self._closed = False
        self._woken = asyncio.Event()

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page and return it; the first result is the assignment."""
        if not self._assigned:
            lanes = await self._lanes()
            self._assigned = True
            return Assigned(
                assignment=_ASSIGNMENT,
                progress={PARTITION: self._place.progress},
                parked={PARTITION: lanes},
            )
        while self._error is None and (self._paused or self._window.begin >= self._window.end):
            self._woken.clear()
            await self._woken.wait()
        if self._error is not None:
            raise self._error
        return await self._next_page()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing until `resume`."""
        self._paused = self._paused or PARTITION in partitions

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._paused = self._paused and PARTITION not in partitions
        self._woken.set()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record the settlement in one transaction; raises `LogUnavailable` when closed, and `Fenced`.

        The method waits while the disk is full, and always learns whether the
        settlement was recorded. The partition is never crowded, because a text column
        takes any number of offsets.
        """
        if self._closed or settlement.assignment != _ASSIGNMENT:
            if not settlement.is_plain:
                raise Fenced(
                    f"the subscriber {self.subscription.subscriber} settled events of partitions that "
                    "it no longer owns"
                )
            return Recorded()
        await self._settler.settle(settlement)
        return Recorded(partitions=frozenset(settlement.progress))

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events in the order of `offsets`; raises `LogUnavailable`."""
        if self._closed or partition != PARTITION:
            return []
        found: dict[int, Entry] = {}
        left: Sequence[int] = sorted(set(offsets))
        while left:
            more = partial(read_parked, subscriber=self.subscription.subscriber, offsets=left)
            entries, left = await self._reader.submit(more)
            found.update((entry.offset, entry) for entry in entries)
        return [found[offset] for offset in offsets if offset in found]

    def appended(self, end: int) -> None:
        """Let `read` continue to the new `end` of the log."""
        self._window = replace(self._window, end=end)
        self._woken.set()

    def break_off(self, error: BaseException) -> None:
        """Let every `read` from now on raise `error`."""
        self._error = error
        self._woken.set()

    def close(self) -> None:
        """Close the feed; later settlements are refused."""
        self._closed = True
        self._settler.close()

    async def _next_page(self) -> Page:
        entries, through = await self._reader.submit(partial(read_page, window=self._window))
        # The window advances only now, because a page whose read failed or was cancelled must be
        # read again.
        self._window = replace(self._window, begin=through)
        expired, self._has_expired = self._has_expired, False
        return Page(
            entries=[entry for entry in entries if self._is_wanted(entry)],
            through={PARTITION: through},
            behind=self._window.end - through,
            expired=frozenset({PARTITION} if expired else ()),
        )

    async def _lanes(self) -> Sequence[ParkedLane]:
        found: list[ParkedLane] = []
        last: str | None = None
        while True:
            more = partial(read_lanes, subscriber=self.subscription.subscriber, after=last)
            page, last = await self._reader.submit(more)
            if not page:
                return found
            found += page

    def _is_wanted(self, entry: Entry) -> bool:
        return (
            entry.offset not in self._place.progress.settled_above
            and entry.event.time >= self._place.not_before
        )
