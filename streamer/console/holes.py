"""Holes in the channels, for pages that draw themselves anew all the time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.admin.continuity.holes import ContinuityResource
from streamer.admin.schemas import MOST_LETTERS, Holes
from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import HoleCause, JsonObject

_READ_EVERY_S = 30.0
_TIMEOUT_S = 5.0


@dataclass(slots=True, kw_only=True)
class RecentHoles:
    """Latest continuity records of holes, those of snapshots left out.

    They are read from the log at most every 30 s, and once at a time, however
    many pages ask: each reading costs a consumer where the log is in Kafka.
    """

    resource: ContinuityResource
    clock: Clock
    _records: Sequence[JsonObject] = field(default=(), init=False)
    _read_at: float | None = field(default=None, init=False)
    _reading: asyncio.Task[None] | None = field(default=None, init=False)

    async def records(self) -> Sequence[JsonObject]:
        """Return the records, oldest first.

        Raises `LogUnavailable` when the log can't be read, or not within 5 s.
        """
        if self._reading is None and not self._is_fresh():
            self._reading = asyncio.create_task(self._read(), name="read holes")
            self._reading.add_done_callback(self._finished)
        if self._reading is not None:
            try:
                async with self.clock.timeout(_TIMEOUT_S):
                    # Others wait for the same reading, which can't be broken off in its thread.
                    await asyncio.shield(self._reading)
            except TimeoutError:
                raise LogUnavailable(
                    f"The log did not show its continuity records within {_TIMEOUT_S:g} s."
                ) from None
        return self._records

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self.clock.monotonic() - self._read_at < _READ_EVERY_S

    async def _read(self) -> None:
        records = (await self.resource.records(Holes(last=MOST_LETTERS)))["records"]
        self._records = [each for each in records if each["cause"] != HoleCause.SNAPSHOT]
        self._read_at = self.clock.monotonic()

    def _finished(self, reading: "asyncio.Task[None]") -> None:
        self._reading = None
        # asyncio reports an error that nothing has looked at.
        if not reading.cancelled():
            reading.exception()
