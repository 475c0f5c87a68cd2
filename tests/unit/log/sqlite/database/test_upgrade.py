"""A file of an older Streamer is upgraded and continues."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from streamer.errors import LogUnavailable
from streamer.events import Stage
from streamer.log.records import encode_checkpoint, encode_dead_letter, encode_event
from tests.contracts.follower import following
from tests.contracts.parking import KEY, lane_of, letters, park
from tests.contracts.values import CHANGES, a_checkpoint, a_dead_letter, an_event
from tests.unit.log.sqlite.conftest import LogFile

# As version 1 made its files; to be changed by nobody.
VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  appended_at INTEGER NOT NULL,
  type TEXT NOT NULL,
  size INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE checkpoints (channel TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE continuity (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE dead_letters (id TEXT PRIMARY KEY, failed_at REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE subscribers (
  name TEXT PRIMARY KEY,
  not_before TEXT NOT NULL,
  next_offset INTEGER NOT NULL,
  settled_above TEXT NOT NULL,
  absent_since REAL
) WITHOUT ROWID;
PRAGMA application_id = 1400140389;
PRAGMA user_version = 1;
COMMIT;
"""


def write_version_1(log_file: LogFile, *more: str) -> None:
    """Write a file of version 1 with three events, of which the target has settled the second."""
    log_file.settings.path.parent.mkdir()
    with closing(sqlite3.connect(log_file.settings.path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        for n in (1, 2, 3):
            body = encode_event(an_event(n, key=KEY))
            connection.execute(
                "INSERT INTO events (appended_at, type, size, body) VALUES (?, ?, ?, ?)",
                (int(log_file.clock.now()), an_event(n).type, len(body), body),
            )
        for name in ("b", "a", "c"):
            letter = a_dead_letter(name)
            connection.execute(
                "INSERT INTO dead_letters VALUES (?, ?, ?)",
                (name, letter.failed_at, encode_dead_letter(letter)),
            )
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?)", (str(CHANGES), encode_checkpoint(a_checkpoint(3)))
        )
        connection.execute("INSERT INTO subscribers VALUES ('target', '', 1, '[2,2]', NULL)")
        for statement in more:
            connection.execute(statement)


async def test_file_of_version_1_goes_on_where_it_was(log_file: LogFile) -> None:
    """Its events, checkpoints, dead letters and subscribers are all there, in their order."""
    write_version_1(log_file)
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            assert await follower.read_until("3") == ["1", "3"]
            assert await log.checkpoint(CHANGES) == a_checkpoint(3)
            assert await letters(log.controls) == [a_dead_letter(name) for name in ("b", "a", "c")]

    assert [(line["event"], line["found"], line["version"]) for line in logs] == [("log.upgraded", 1, 3)]


async def test_file_of_version_1_learns_what_is_new(log_file: LogFile) -> None:
    """Parking works, and a replaced letter keeps its row, after a restart too."""
    write_version_1(log_file)
    async with log_file.open() as log, following(log) as follower:
        await follower.read_until("3")
        parked = follower.entries
        await park(follower, *parked)
        newer = replace(a_dead_letter("a", stage=Stage.DISPATCH), error="newer")
        await follower.settle(letters=[newer])
    async with log_file.open() as log, following(log) as follower:
        await follower.step()

        assert follower.lanes == lane_of(*parked)
        assert await letters(log.controls) == [a_dead_letter("b"), newer, a_dead_letter("c")]


async def test_upgrade_that_fails_leaves_the_file_as_it_was(log_file: LogFile) -> None:
    """A full disk during the upgrade costs nothing; the older Streamer can still open the file."""
    write_version_1(log_file, "CREATE TABLE redrives (in_the_way)")
    with pytest.raises(LogUnavailable, match="redrives already exists"):
        async with log_file.open():
            pass

    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        assert "receipts" not in tables
        assert connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0] == 3
