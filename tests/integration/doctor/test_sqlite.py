"""Faults of the embedded log."""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.doctor import Area
from streamer.log.sqlite import SqliteLog
from streamer.sandbox import Sandbox
from streamer.settings import SqliteLogSettings
from tests.configuration import sandbox_configuration
from tests.contracts.values import ORG, an_append, an_event, append_to
from tests.doctor import examined, faults, line, the_fault

_NOWHERE = "http://localhost:9"


def kept_at(path: Path, **settings: Any) -> dict[str, Any]:
    """Return a configuration with a log at `path`; its org is not asked."""
    return sandbox_configuration(_NOWHERE, log={"sqlite": {"path": str(path), **settings}})


def below_a_file(folder: Path) -> dict[str, Any]:
    """Name a folder that is a file."""
    (folder / "data").write_text("")
    return kept_at(folder / "data" / "log.db")


def at_a_folder(folder: Path) -> dict[str, Any]:
    """Name a folder instead of a file."""
    return kept_at(folder)


def at_a_pipe(folder: Path) -> dict[str, Any]:
    """Name a pipe instead of a file."""
    os.mkfifo(folder / "log.db")
    return kept_at(folder / "log.db")


def where_no_file_can_be_made(_folder: Path) -> dict[str, Any]:
    """Name a folder of a file system whose files are the kernel's."""
    return kept_at(Path("/proc/streamer/log.db"))


def larger_than_the_disk(folder: Path) -> dict[str, Any]:
    """Let the log grow beyond every disk."""
    return kept_at(folder / "log.db", max_bytes=10**18)


def in_another_programs_file(folder: Path) -> dict[str, Any]:
    """Name the database of another program."""
    with sqlite3.connect(folder / "log.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    return kept_at(folder / "log.db")


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (below_a_file, "failed SQLite folder: .*data is not a folder, so .*-> set log.sqlite.path"),
        (
            at_a_folder,
            "failed SQLite folder: .* is a folder, but the log needs a file -> set log.sqlite.path",
        ),
        (at_a_pipe, "failed SQLite folder: .* is a pipe or a device, but the log needs a file -> set log"),
        (
            where_no_file_can_be_made,
            "failed SQLite folder: .*accepts no new files, so .* can't be created -> set",
        ),
        (larger_than_the_disk, "warning SQLite free space: .* are free .*-> free some space, or lower"),
        (in_another_programs_file, "failed checkpoints: .*another program's database -> name another path"),
    ],
)
async def test_fault_of_the_file_is_one_line(
    tmp_path: Path, broken: Callable[[Path], dict[str, Any]], expected: str
) -> None:
    """With what to do about it."""
    found = the_fault(await examined(tmp_path, broken(tmp_path), Area.LOG))

    assert re.search(expected, found), found


async def test_log_of_a_running_daemon_is_read_beside_it(tmp_path: Path) -> None:
    """Its process is named; a second daemon would refuse to start."""
    configuration = kept_at(tmp_path / "log.db")
    async with SqliteLog.open(SqliteLogSettings(path=tmp_path / "log.db"), SystemClock()) as log:
        await append_to(log, an_append(an_event(1)))
        diagnosis = await examined(tmp_path, configuration, Area.LOG)
        await append_to(log, an_append(an_event(2), at=2))

    assert re.search(r"warning SQLite owner: process \d+ holds the log", the_fault(diagnosis))
    assert any("ok checkpoints: the checkpoints of 1 channel" in line(each) for each in diagnosis.findings)
    assert not faults(await examined(tmp_path, configuration, Area.LOG))


async def test_rows_of_another_program_are_one_line(tmp_path: Path) -> None:
    """With their places; the daemon leaves them out, and goes on."""
    path = tmp_path / "log.db"
    async with SqliteLog.open(SqliteLogSettings(path=path), SystemClock()) as log:
        await append_to(log, an_append(an_event(1)))
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in range(4):
            connection.execute("INSERT INTO controls VALUES (?, 'hello')", (f"x{number}",))

    found = the_fault(await examined(tmp_path, kept_at(path), Area.LOG))

    expected = (
        "warning SQLite rows: .* holds 4 rows that Streamer did not write and ignores: "
        "row x3 of the table controls; .*1 more"
    )
    assert re.search(f"{expected} -> .* to remove such a row", found), found


async def test_log_of_another_org_is_one_line(tmp_path: Path) -> None:
    """Such as that of a sandbox org before it was refreshed."""
    async with SqliteLog.open(SqliteLogSettings(path=tmp_path / "log.db"), SystemClock()) as log:
        await append_to(log, an_append(an_event(1)))
    async with Sandbox(SystemClock()) as sandbox:
        configuration = kept_at(tmp_path / "log.db")
        configuration["org"]["login_url"] = sandbox.url
        found = the_fault(await examined(tmp_path, configuration, Area.ORG))

    assert re.search(
        f"failed identity: .*the events in the log come from {ORG} -> correct org.login_url", found
    ), found
