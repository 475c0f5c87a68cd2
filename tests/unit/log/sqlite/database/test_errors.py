"""Errors below a log file, reported with their remedy."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.sqlite import SqliteLog
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile

LARGE = {"entity": "Account", "fields": {"Text": "x" * 512 * 1024}}


async def pragma(log: SqliteLog, statement: str) -> None:
    """Change a setting of the writer's connection."""
    await log._writer.submit(lambda connection: connection.execute(f"PRAGMA {statement}").fetchall())


async def test_full_disk_is_said_and_nothing_is_half_written(log_file: LogFile) -> None:
    """The append leaves no trace, and can be repeated once there is space."""
    async with log_file.open() as log:
        await append_to(log, an_append(an_event(1), at=1))
        await pragma(log, "max_page_count = 30")
        with pytest.raises(LogUnavailable, match=r"disk with .* is full"):
            await append_to(log, an_append(an_event(2), an_event(3, data=LARGE), at=2))

        # The connection that failed was replaced, and with it its limit.
        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
        await append_to(log, an_append(an_event(2), an_event(3, data=LARGE), at=2))

    assert log_file.ids() == ["1", "2", "3"]


async def test_appends_written_together_fail_together(log_file: LogFile) -> None:
    """No append is reported as done whose transaction failed."""
    async with log_file.open() as log:
        await pragma(log, "max_page_count = 30")
        calls = [append_to(log, an_append(an_event(n, data=LARGE), at=n)) for n in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        checkpoint = await log.checkpoint(CHANGES)

    succeeded = [str(n) for n, result in enumerate(results) if result is None]
    assert isinstance(results[0], LogUnavailable)
    assert log_file.ids() == succeeded
    assert checkpoint == (a_checkpoint(int(succeeded[-1])) if succeeded else None)


async def test_file_that_another_program_holds_is_unavailable(log_file: LogFile) -> None:
    """Another program's open transaction delays the log and loses nothing."""
    async with log_file.open() as log:
        await pragma(log, "busy_timeout = 1")
        with closing(sqlite3.connect(log_file.settings.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LogUnavailable, match="another program has locked"):
                await append_to(log, an_append(an_event(1)))
        await append_to(log, an_append(an_event(1)))

    assert log_file.ids() == ["1"]


async def test_event_that_streamer_did_not_write_is_one_sentence(log_file: LogFile) -> None:
    """An edited file stops the reader, and the error names the remedy."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1)))
        await log._writer.submit(lambda connection: connection.execute("UPDATE events SET body = '{}'"))

        with pytest.raises(LogMisconfigured, match="restore the file from a backup"):
            await follower.read_until("1")


async def test_closed_log_says_so(log_file: LogFile) -> None:
    """A caller that still holds a closed log gets our error."""
    async with log_file.open() as log:
        pass
    with pytest.raises(LogUnavailable, match="is closed"):
        await append_to(log, an_append(an_event(1)))
    with pytest.raises(LogUnavailable, match="is closed"):
        await log.checkpoint(CHANGES)


async def test_reader_waiting_at_the_close_is_let_go(log_file: LogFile) -> None:
    """No reader waits for ever for events of a closed log."""
    async with log_file.open() as log:
        following_too_long = following(log)
        follower = await following_too_long.__aenter__()
        await follower.step()
        waiting = asyncio.create_task(follower.step())
        await asyncio.sleep(0)
    with pytest.raises(LogUnavailable):
        await waiting
    await following_too_long.__aexit__(None, None, None)
