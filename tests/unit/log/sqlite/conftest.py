"""Log files of one test."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamer.clock import TurnedClock
from streamer.log.sqlite import SqliteLog
from streamer.settings import SqliteLogSettings


@dataclass(slots=True, kw_only=True)
class LogFile:
    """A log file whose clock stands still."""

    settings: SqliteLogSettings
    clock: TurnedClock = field(default_factory=TurnedClock)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SqliteLog]:
        """Open the log."""
        async with SqliteLog.open(self.settings, self.clock) as log:
            yield log

    def ids(self) -> list[str]:
        """Return the ids of the events in the file."""
        with closing(sqlite3.connect(self.settings.path)) as connection:
            rows = connection.execute("SELECT json_extract(body, '$.id') FROM events ORDER BY seq")
            return [row[0] for row in rows.fetchall()]


@pytest.fixture
def log_file(tmp_path: Path) -> LogFile:
    """A file that does not exist yet, of at most a megabyte, with a retention of two hours."""
    return LogFile(
        settings=SqliteLogSettings(path=tmp_path / "data" / "log.db", retention_h=2, max_bytes=1024**2)
    )
