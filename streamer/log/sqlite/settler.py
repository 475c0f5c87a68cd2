"""Settler of one subscriber: makes its settlements durable, each once."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import AppendedEnd
from streamer.log.sqlite.rows.settlements import EncodedSettlement, encode_settlement, write_settlement
from streamer.log.sqlite.rows.subscribers import StoredPosition
from streamer.ports import Settlement

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
