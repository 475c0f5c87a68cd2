"""Cache of recent records in the log, for quick pages."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import JsonObject

_TIMEOUT_S = 5.0


@dataclass(slots=True, kw_only=True)
class RecentRecords:
    """Cached result of `read`; one call at a time refreshes it, at most once in `every_s` seconds.

    The cache is necessary because each call of `read` opens a consumer if the log is in
    Kafka. `name` is a plural noun for the records in messages.
    """

    name: str
    read: Callable[[], Awaitable[Sequence[JsonObject]]]
    clock: Clock
    every_s: float = 30.0
    _records: Sequence[JsonObject] = field(default=(), init=False)
    _read_at: float | None = field(default=None, init=False)
    _reading: asyncio.Task[None] | None = field(default=None, init=False)

    async def records(self) -> Sequence[JsonObject]:
        """Return the records, in the order of `read`.

        Raises `LogUnavailable` if the log can't be read within 5 s.
        """
        if self._reading is None and not self._is_fresh():
            self._reading = asyncio.create_task(self._read(), name=f"read {self.name}")
            self._reading.add_done_callback(self._finished)
        if self._reading is not None:
            try:
                async with self.clock.timeout(_TIMEOUT_S):
                    # Other pages wait for the same reading, and its thread can't be interrupted.
                    await asyncio.shield(self._reading)
            except TimeoutError:
                raise LogUnavailable(
                    f"Reading the {self.name} from the log took longer than {_TIMEOUT_S:g} s."
                ) from None
        return self._records

    def forget(self) -> None:
        """Let the next page read the log again, because an operator has just changed something."""
        self._read_at = None
        # A running reading can have missed the change. It continues only for the pages that wait for
        # it.
        self._reading = None

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self.clock.monotonic() - self._read_at < self.every_s

    async def _read(self) -> None:
        records = await self.read()
        if self._reading is asyncio.current_task():
            self._records, self._read_at = records, self.clock.monotonic()

    def _finished(self, reading: "asyncio.Task[None]") -> None:
        if self._reading is reading:
            self._reading = None
        # asyncio would report an error that no code has retrieved.
        if not reading.cancelled():
            reading.exception()
