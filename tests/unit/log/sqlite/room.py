"""A log file that time passes over, or that is full."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing

from streamer.log.sqlite import SqliteLog
from tests.contracts.values import CHANGES, an_append, an_event
from tests.unit.log.sqlite.conftest import LogFile

HOUR_S = 3600.0
QUARTER_MB = {"entity": "Account", "fields": {"Text": "x" * 256 * 1024}}


async def turned_until(log: SqliteLog, log_file: LogFile, condition: Callable[[], bool]) -> None:
    """Turn minutes until `condition` holds; retention passes once a minute."""
    for _ in range(200):
        if condition():
            return
        await log_file.clock.turn(60)
        await log.checkpoint(CHANGES)
    raise AssertionError("it never came to hold")


async def let_pass(log: SqliteLog, log_file: LogFile) -> None:
    """Let retention pass a few times."""
    for _ in range(5):
        await log_file.clock.turn(60)
        await log.checkpoint(CHANGES)


def count(log_file: LogFile, table: str) -> int:
    """Return how many rows a table has."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names of ours


async def append_that_waits(log: SqliteLog) -> "asyncio.Task[None]":
    """Return an append that waits for room."""
    waiting = asyncio.create_task(log.append(an_append(an_event("waited"), at=9)))
    for _ in range(5):
        # Each answer comes from the writer, which has then done what was asked before.
        await log.checkpoint(CHANGES)
    assert not waiting.done()
    return waiting
