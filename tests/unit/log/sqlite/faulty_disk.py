"""Disks that fail below a log file."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamer.errors import LogUnavailable
from streamer.log.sqlite import SqliteLog
from streamer.log.sqlite.database.schema import open_writer
from tests.contracts.values import CHANGES


class LosesAnswers(sqlite3.Connection):
    """A connection whose first commit of a change reports a failure, but takes effect if `takes_effect`."""

    takes_effect = True

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Do a statement."""
        if sql != "COMMIT" or not self.total_changes:
            return super().execute(sql, *parameters)
        if self.takes_effect:
            super().execute(sql)
        raise sqlite3.OperationalError("disk I/O error")


class LosesCommits(LosesAnswers):
    """A connection whose first commit of a change fails and does not take effect."""

    takes_effect = False


async def break_once(log: SqliteLog, kind: type[sqlite3.Connection]) -> None:
    """Run the next change on a connection of this kind; later ones work again."""

    def connect(path: Path) -> sqlite3.Connection:
        log._writer._connect = open_writer
        return sqlite3.connect(path, isolation_level=None, factory=kind)

    log._writer._connect = connect
    await _drop_connection(log)


async def fill_disk(log: SqliteLog) -> None:
    """Let the file grow no more, until `free_disk`."""

    def connect(path: Path) -> sqlite3.Connection:
        connection = open_writer(path)
        connection.execute("PRAGMA max_page_count = 1").fetchall()
        return connection

    log._writer._connect = connect
    await _drop_connection(log)


async def free_disk(log: SqliteLog) -> None:
    """Let the file grow again."""
    log._writer._connect = open_writer
    await _drop_connection(log)


async def writer_rests(log: SqliteLog) -> None:
    """Wait until the writer's submitted jobs are done, whether they succeeded or not."""
    with suppress(LogUnavailable):
        await log.checkpoint(CHANGES)


async def _drop_connection(log: SqliteLog) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("so that the connection is dropped")

    with suppress(LogUnavailable):
        await log._writer.submit(fail)
