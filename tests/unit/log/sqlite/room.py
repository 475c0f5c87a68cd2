"""A log file with a retention, or without free space."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing

from streamer.log.sqlite import SqliteLog
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile

HOUR_S = 3600.0
QUARTER_MB = {"entity": "Account", "fields": {"Text": "x" * 256 * 1024}}


async def turned_until(log: SqliteLog, log_file: LogFile, condition: Callable[[], bool]) -> None:
    """Turn the clock by minutes until `condition` holds; retention runs once a minute."""
    for _ in range(200):
        if condition():
            return
        await log_file.clock.turn(60)
        await log.checkpoint(CHANGES)
    raise AssertionError("it never came to hold")


async def let_pass(log: SqliteLog, log_file: LogFile) -> None:
    """Let retention run a few times."""
    for _ in range(5):
        await log_file.clock.turn(60)
        await log.checkpoint(CHANGES)


def count(log_file: LogFile, table: str) -> int:
    """Return the number of rows of a table."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - a table of ours


async def append_that_waits(log: SqliteLog) -> "asyncio.Task[None]":
    """Return an append that waits for the file to shrink."""
    waiting = asyncio.create_task(append_to(log, an_append(an_event("waited"), at=9)))
    for _ in range(5):
        # Each answer comes from the writer, which has then done what was asked before.
        await log.checkpoint(CHANGES)
    assert not waiting.done()
    return waiting
