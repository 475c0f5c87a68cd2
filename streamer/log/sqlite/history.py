"""Events of one entity, read from a log file that another process can own."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from sqlite3 import Connection
from typing import Self

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.errors import LogMisconfigured
from streamer.events import Checkpoint
from streamer.log.patterns import change_type_stem
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.appends import end, read_checkpoints
from streamer.log.sqlite.rows.pages import PARTITION, Window, first_appended, read_page
from streamer.observe.pulse import Pulses
from streamer.ports import HistoryPage, HistoryStart
from streamer.settings import SqliteLogSettings


class SqliteHistory:
    """`EventHistory` of a log file.

    Each page is a short transaction of its own, so that the owner can empty the
    write-ahead log in between.
    """

    def __init__(self, reader: Worker) -> None:
        self._reader = reader

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: SqliteLogSettings, clock: Clock) -> AsyncIterator[Self]:
        """Open the file for reading alone, beside the process that owns it, on the same machine.

        Raises `LogMisconfigured` where there is no log of this version.
        """
        path = settings.path
        if not path.is_file():
            raise LogMisconfigured(
                f"{path.absolute()} is no file: run this command on the machine, in the container and in the "
                "folder of the daemon, or correct log.sqlite.path"
            )
        async with Worker.sharing(path, pulses=Pulses(clock)) as reader:
            yield cls(reader)

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of all channels."""
        return await self._reader.submit(read_checkpoints)

    async def start(self, entity: str, at: float, /) -> HistoryStart:  # noqa: ARG002 - all entities share the file
        """Return the offset of the first event that was appended since `at`, by the owner's clock."""
        return await self._reader.submit(partial(_start, at=at - CLOCKS_DIFFER_S))

    async def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the events from `start` on, a page at a time."""
        last = await self._reader.submit(end)
        window = Window(begin=start.offsets[PARTITION], end=last, patterns=[f"{change_type_stem(entity)}*"])
        while window.begin < window.end:
            entries, through = await self._reader.submit(partial(read_page, window=window))
            window = replace(window, begin=through)
            yield HistoryPage(events=[entry.event for entry in entries], left=last - through)


def _start(connection: Connection, at: float) -> HistoryStart:
    first = first_appended(connection, at)
    return HistoryStart(offsets={PARTITION: first.offset}, begins_at=first.is_cut_at)
