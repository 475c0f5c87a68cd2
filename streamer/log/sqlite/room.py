"""Keeps a log file within its age and its size."""

import asyncio
from functools import partial

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.log.sqlite.retention import Trimmed, trim
from streamer.log.sqlite.worker import Worker
from streamer.settings import SqliteLogSettings

_HOUR_S = 3600.0
_EVERY_S = 60.0
_ROOM_AGAIN = 0.9

_log = structlog.get_logger()


class Room:
    """Makes room by forgetting what is old and settled; where there is none, appends wait."""

    def __init__(self, writer: Worker, settings: SqliteLogSettings, clock: Clock) -> None:
        """Know nothing of the file until `used` is called."""
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._used_bytes = 0
        self._changed = asyncio.Event()
        self._closed = False
        self._is_lacking = False

    def used(self, used_bytes: int) -> None:
        """Note how much of the file is in use."""
        self._used_bytes = used_bytes

    def changed(self) -> None:
        """Let waiting appends look again, for something was settled."""
        self._changed.set()

    def close(self) -> None:
        """Let waiting appends end with `LogUnavailable`."""
        self._closed = True
        self._changed.set()

    @property
    def lack(self) -> str:
        """Why an append waits; empty while none does."""
        if not self._is_lacking:
            return ""
        return (
            f"{self._settings.path} has reached log.sqlite.max_bytes, and what it holds is not settled yet: "
            "mend the subscribers that are behind, or raise the limit."
        )

    async def wait(self) -> None:
        """Return when the file is below its size limit; raises `LogUnavailable`."""
        try:
            await self._wait()
        finally:
            self._is_lacking = False

    async def _wait(self) -> None:
        full = limit = self._settings.max_bytes
        while self._used_bytes >= limit:
            self._changed.clear()
            trimmed = await self._trim_step(older_than=None)
            if trimmed.deleted or self._used_bytes < limit:
                continue
            if limit == full:
                self._say_full(trimmed)
            self._is_lacking = True
            # Going on at the limit itself would stop again an append later.
            limit = int(full * _ROOM_AGAIN)
            await self._changed.wait()
            if self._closed:
                raise LogUnavailable(f"{self._settings.path} was full until it was closed")
        if limit < full:
            _log.info("log.has_room", path=str(self._settings.path), used_bytes=self._used_bytes)

    async def keep(self) -> None:
        """Forget what is older than the retention, once a minute, for ever."""
        while True:
            try:
                await self._forget_old()
            except LogUnavailable as exc:
                _log.warning("log.retention_failed", path=str(self._settings.path), error=str(exc))
            await self._clock.sleep(_EVERY_S)

    async def _forget_old(self) -> None:
        oldest = self._clock.now() - self._settings.retention_h * _HOUR_S
        deleted = 0
        # Each step is a transaction of its own, so that appends go in between.
        while step := (await self._trim_step(older_than=oldest)).deleted:
            deleted += step
        if deleted:
            _log.info("log.events_expired", path=str(self._settings.path), events=deleted)
        self.changed()

    async def _trim_step(self, *, older_than: float | None) -> Trimmed:
        absent_before = self._clock.now() - self._settings.retention_h * _HOUR_S
        step = partial(trim, older_than=older_than, absent_before=absent_before)
        trimmed = await self._writer.submit(step)
        self.used(trimmed.used_bytes)
        return trimmed

    def _say_full(self, trimmed: Trimmed) -> None:
        _log.warning(
            "log.full",
            path=str(self._settings.path),
            used_bytes=self._used_bytes,
            max_bytes=self._settings.max_bytes,
            held_by=trimmed.held_by,
        )
