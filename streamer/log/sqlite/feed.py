"""Feed of one subscriber from a log file, and its settlements."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.errors import Fenced, LogUnavailable
from streamer.events import Entry, ParkedLane, Partition, SubscriberName
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import AppendedEnd
from streamer.log.sqlite.rows.pages import PARTITION, OffsetRange, read_page
from streamer.log.sqlite.rows.parked import parked_among
from streamer.log.sqlite.rows.subscribers import (
    EncodedSettlement,
    StoredPosition,
    encode_settlement,
    known_place,
    window_of,
    write_settlement,
)
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

_PAUSE_S = 1.0

_log = structlog.get_logger()
_ASSIGNMENT = 1


class SqliteSettler:
    """Records each settlement once, in the order of the calls, and waits for a full disk.

    A failed commit can have taken effect all the same. So settlements are
    numbered, the file holds the last number, and a retry looks there first. A
    return always means that the settlement and its receipts are recorded.
    """

    def __init__(
        self,
        writer: Worker,
        clock: Clock,
        place: StoredPosition,
        *,
        then: Callable[[AppendedEnd | None], None],
    ) -> None:
        """Continue the count of `place`; call `then` on the loop after each settlement.

        It gets the end and the size of the log after events were forwarded.
        """
        self._writer = writer
        self._clock = clock
        self._subscriber = place.subscriber
        self._number = place.settlements
        self._then = then
        self._lock = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """Start no further settlement: another feed can have read the progress."""
        self._closed = True

    async def settle(self, settlement: Settlement) -> None:
        """Return when `settlement` is durable; raises `LogUnavailable` once closed."""
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
                partial(write_settlement, settlement=settlement), weight=settlement.weight, then=self._then
            )
        except LogUnavailable as exc:
            if self._writer.is_closed:
                raise
            return str(exc)
        return ""


async def settled_events(
    reader: Worker, subscription: Subscription, begin: Mapping[Partition, int]
) -> AsyncGenerator[Entry, None]:
    """Yield a subscriber's settled entries, a page at a time, so that its feed can read in between."""
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
    # Read after the progress: an event that was parked at that time, and no longer is, has been delivered.
    parked = parked_among(connection, place.subscriber, window.begin, through)
    finished = [
        entry
        for entry in entries
        if place.progress.covers(entry.offset)
        and entry.offset not in parked
        and entry.event.time >= place.not_before
    ]
    return finished, through


class EntryReader(Protocol):
    """The part of the log that a feed reads."""

    def end(self) -> int:
        """Return the offset of the next event to be appended; raises `LogUnavailable` when closed."""
        ...

    async def read(self, window: OffsetRange) -> tuple[list[Entry], int]:
        """Return the first entries of `window`, and the offset up to which it was read."""
        ...

    async def lanes(self, subscriber: SubscriberName) -> Sequence[ParkedLane]:
        """Return the parked lanes of a subscriber."""
        ...

    async def recall(self, subscriber: SubscriberName, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return a subscriber's parked events at `offsets`, in that order."""
        ...


class SqliteFeed:
    """A subscriber's feed: the file is one partition, assigned once."""

    def __init__(
        self, log: EntryReader, subscription: Subscription, place: StoredPosition, settler: SqliteSettler
    ) -> None:
        self.subscription = subscription
        self._log = log
        self._settler = settler
        self._place = place
        self._cursor = place.progress.next_offset
        self._assigned = False
        self._paused = False
        self._closed = False
        self._woken = asyncio.Event()

    async def read(self) -> Assigned | Revoked | Page:
        """Return the next page, waiting for one; the first answer is the assignment."""
        if not self._assigned:
            lanes = await self._log.lanes(self.subscription.subscriber)
            self._assigned = True
            return Assigned(
                assignment=_ASSIGNMENT,
                progress={PARTITION: self._place.progress},
                parked={PARTITION: lanes},
            )
        while self._paused or self._cursor >= self._log.end():
            self._woken.clear()
            await self._woken.wait()
        return await self._next_page()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing until resumed."""
        self._paused = self._paused or PARTITION in partitions

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._paused = self._paused and PARTITION not in partitions
        self.wake()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record all of it in one transaction; raises `LogUnavailable` once closed, and `Fenced`.

        It waits while the disk is full, and always knows whether it was
        recorded. A text column takes any number of offsets: no partition is
        ever crowded.
        """
        if self._closed or settlement.assignment != _ASSIGNMENT:
            if not settlement.is_plain:
                raise Fenced(f"{self.subscription.subscriber} settled partitions that it no longer holds")
            return Recorded()
        await self._settler.settle(settlement)
        return Recorded(partitions=frozenset(settlement.progress))

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events in the order of `offsets`; raises `LogUnavailable`."""
        if self._closed or partition != PARTITION:
            return []
        return await self._log.recall(self.subscription.subscriber, offsets)

    def wake(self) -> None:
        """Let a waiting `read` check the log again."""
        self._woken.set()

    def close(self) -> None:
        """Close the feed: nothing can be settled through it any more."""
        self._closed = True
        self._settler.close()

    async def _next_page(self) -> Page:
        window = window_of(self.subscription, begin=self._cursor, end=self._log.end())
        entries, through = await self._log.read(window)
        # Only now: a read that failed or was cancelled must be repeated.
        self._cursor = through
        return Page(
            entries=[entry for entry in entries if self._is_wanted(entry)],
            through={PARTITION: through},
            behind=self._log.end() - through,
        )

    def _is_wanted(self, entry: Entry) -> bool:
        return (
            entry.offset not in self._place.progress.settled_above
            and entry.event.time >= self._place.not_before
        )
