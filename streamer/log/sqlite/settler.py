"""Settlements of one subscriber in a log file: made durable, each once, and read again."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import Entry, Partition
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import AppendedEnd
from streamer.log.sqlite.rows.pages import PARTITION, OffsetRange, read_page
from streamer.log.sqlite.rows.parked import parked_among
from streamer.log.sqlite.rows.settlements import EncodedSettlement, encode_settlement, write_settlement
from streamer.log.sqlite.rows.subscribers import StoredPosition, known_place, window_of
from streamer.ports import Settlement, Subscription

_PAUSE_S = 1.0

_log = structlog.get_logger()


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
