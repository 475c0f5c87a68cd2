"""A log file is read by a process that does not own it, and stays as it is."""

import sqlite3
from contextlib import closing

import pytest

from streamer.errors import LogMisconfigured
from streamer.log.sqlite import SqliteHistory, SqliteLog
from streamer.log.sqlite.rows.offsets import PARTITION
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.room import HOUR_S, turned_until


async def began(log_file: LogFile, at: float) -> tuple[int, float | None]:
    """Return the offset at which the events since a time begin, and when a file that was cut begins."""
    async with SqliteHistory.open(log_file.settings, log_file.clock) as history:
        start = await history.start("Account", at)
        return start.offsets[PARTITION], start.begins_at


async def append_each_hour(log: SqliteLog, log_file: LogFile, hours: int) -> None:
    """Append two events each hour."""
    for n in range(hours):
        await append_to(log, an_append(an_event(f"{n}a"), an_event(f"{n}b"), at=n))
        await log_file.clock.turn(HOUR_S)


async def refusal(log_file: LogFile) -> str:
    """Return the reason why the file is not read."""
    with pytest.raises(LogMisconfigured) as raised:
        await began(log_file, 0)
    return str(raised.value)


async def test_history_begins_at_a_time_and_a_little_before(log_file: LogFile) -> None:
    """Whatever the time: the clocks of two machines differ by up to a minute."""
    now = log_file.clock.now()
    async with log_file.open() as log:
        await append_each_hour(log, log_file, 2)
        assert [(await began(log_file, now + n * HOUR_S + 60))[0] for n in (-1, 0, 0.01, 1, 1.01, 2)] == [
            1,
            1,
            3,
            3,
            5,
            5,
        ]


async def test_time_of_an_append_has_milliseconds(log_file: LogFile) -> None:
    """A whole second could lie before the event's commit in Salesforce."""
    async with log_file.open() as log:
        await log_file.clock.turn(0.25)
        await append_to(log, an_append(an_event(1)))
        logged = await log.history.at(PARTITION, 1)

        assert logged is not None
        assert logged.appended_at == round(log_file.clock.now(), 3)


async def test_file_whose_beginning_was_deleted_says_where_it_begins(log_file: LogFile) -> None:
    """Only to those who ask for what is gone."""
    now = log_file.clock.now()
    async with log_file.open() as log:
        await append_each_hour(log, log_file, 4)
        await turned_until(log, log_file, lambda: log_file.ids()[:1] in (["2a"], ["3a"]))
        first = int(log_file.ids()[0][0])
        assert await began(log_file, now) == (2 * first + 1, now + first * HOUR_S)
        assert await began(log_file, now + 3.5 * HOUR_S) == (9, None)


async def test_file_of_a_dead_owner_is_read_and_left_alone(log_file: LogFile) -> None:
    """The write-ahead log stays as it is, for the file's next owner."""
    async with log_file.open() as log:
        await append_to(log, an_append(an_event(1)))
        folder = log_file.settings.path.parent
        copies = {each: each.read_bytes() for each in folder.iterdir() if not each.name.endswith("-shm")}
    for path, content in copies.items():
        path.write_bytes(content)
    async with SqliteHistory.open(log_file.settings, log_file.clock) as history:
        start = await history.start("Account", 0)
        pages = [page async for page in history.changes("Account", start)]
    assert [event.id for page in pages for event in page.events] == ["1"]
    assert {path: path.read_bytes() for path in copies} == copies
    assert any(path.name.endswith("-wal") and content for path, content in copies.items())


async def test_file_that_is_missing_is_not_made(log_file: LogFile) -> None:
    """The sentence says where it was looked for."""
    assert "run this command where the daemon runs" in await refusal(log_file)
    assert not log_file.settings.path.parent.exists()


async def test_file_of_another_schema_is_refused(log_file: LogFile) -> None:
    """An owner upgrades it, and nobody else."""
    async with log_file.open():
        pass
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    assert "an older version of Streamer wrote" in await refusal(log_file)
