"""Cache of recent records in the log, for quick pages."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streamer.clock import Clock
from streamer.errors import LogUnavailable

Found = TypeVar("Found")


@dataclass(slots=True, kw_only=True)
class RecentRecords(Generic[Found]):
    """Cached result of `read`; one call at a time refreshes it, at most once in `every_s` seconds.

    The cache is necessary because each call of `read` opens a consumer if the log is in
    Kafka. `name` is a plural noun for the records in messages.
    """

    name: str
    read: Callable[[], Awaitable[Found]]
    clock: Clock
    every_s: float = 30.0
    timeout_s: float = 5.0
    _kept: tuple[float, Found] | None = field(default=None, init=False)
    _reading: asyncio.Task[Found] | None = field(default=None, init=False)

    async def records(self) -> Found:
        """Return the result of `read`.

        Raises `LogUnavailable` if the log can't be read within `timeout_s`.
        """
        if self._reading is None:
            if self._kept is not None and self.clock.monotonic() - self._kept[0] < self.every_s:
                return self._kept[1]
            self._reading = asyncio.create_task(self._read(), name=f"read {self.name}")
            self._reading.add_done_callback(self._finished)
        try:
            async with self.clock.timeout(self.timeout_s):
                # Other pages wait for the same reading, and its thread can't be interrupted.
                return await asyncio.shield(self._reading)
        except TimeoutError:
            raise LogUnavailable(
                f"Reading the {self.name} from the log took longer than {self.timeout_s:g} s."
            ) from None

    def latest(self, within_s: float = math.inf) -> Found | None:
        """Return the result of the last reading, or `None` if it ended more than `within_s` seconds ago."""
        if self._kept is None or self.clock.monotonic() - self._kept[0] > within_s:
            return None
        return self._kept[1]

    def forget(self) -> None:
        """Let the next page read the log again, because an operator has just changed something."""
        # A running reading can have missed the change. It continues only for the pages that wait for
        # it.
        self._kept = self._reading = None

    async def _read(self) -> Found:
        records = await self.read()
        if self._reading is asyncio.current_task():
            self._kept = self.clock.monotonic(), records
        return records

    def _finished(self, reading: "asyncio.Task[Found]") -> None:
        if self._reading is reading:
            self._reading = None
        # asyncio would report an error that no code has retrieved.
        if not reading.cancelled():
            reading.exception()
