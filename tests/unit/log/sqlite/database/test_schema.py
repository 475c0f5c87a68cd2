"""Only a log of ours, of this version, is opened."""

import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import LogMisconfigured
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile


def execute(path: Path, *statements: str) -> None:
    """Change a file behind the log's back."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def refusal(log_file: LogFile) -> str:
    """Return the reason why the file is refused."""
    with pytest.raises(LogMisconfigured) as raised:
        async with log_file.open():
            pass
    return str(raised.value)


async def test_pipe_is_left_alone(log_file: LogFile) -> None:
    """Its other users keep their rights."""
    log_file.settings.path.parent.mkdir(exist_ok=True)
    os.mkfifo(log_file.settings.path)
    log_file.settings.path.chmod(0o644)

    assert "not a regular file, but a pipe or a device" in await refusal(log_file)
    assert stat.S_IMODE(log_file.settings.path.stat().st_mode) == 0o644


async def test_another_programs_database_is_left_alone(log_file: LogFile) -> None:
    """A mistyped path does no harm."""
    execute(log_file.settings.path, "CREATE TABLE customers (name)")
    before = log_file.settings.path.read_bytes()

    assert "is another program's database" in await refusal(log_file)
    assert log_file.settings.path.read_bytes() == before


async def test_file_of_a_newer_streamer_is_refused(log_file: LogFile) -> None:
    """The error names the version of the unknown schema."""
    async with log_file.open():
        pass
    execute(log_file.settings.path, "PRAGMA user_version = 9")

    assert "(schema 9; this version knows up to 8)" in await refusal(log_file)


async def test_file_that_is_no_database_is_refused(log_file: LogFile) -> None:
    """The same holds for a file that SQLite can't read."""
    log_file.settings.path.parent.mkdir()
    log_file.settings.path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    assert "is not a SQLite file" in await refusal(log_file)


async def test_folder_in_place_of_the_file_is_refused(log_file: LogFile) -> None:
    """The message names the thing to check."""
    log_file.settings.path.mkdir(parents=True)

    assert "can't be the log's file (Is a directory)" in await refusal(log_file)


async def test_closing_leaves_one_plain_file(log_file: LogFile) -> None:
    """The write-ahead log is folded in, so that the file can be copied; threads have ended."""
    async with log_file.open() as log:
        await append_to(log, an_append(an_event(1)))

    assert sorted(path.name for path in log_file.settings.path.parent.iterdir()) == ["log.db", "log.db.lock"]
    assert log_file.ids() == ["1"]


async def test_every_commit_reaches_the_disk(log_file: LogFile) -> None:
    """The writer syncs fully, in a write-ahead log; the reader can't write."""
    async with log_file.open() as log:
        writer = await log._writer.submit(partial(pragmas, names=("journal_mode", "synchronous")))
        reader = await log._reader.submit(partial(pragmas, names=("query_only", "wal_autocheckpoint")))

    assert (writer, reader) == (["wal", 2], [1, 0])


def pragmas(connection: sqlite3.Connection, names: Sequence[str]) -> list[Any]:
    """Return the values of some pragmas."""
    return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
