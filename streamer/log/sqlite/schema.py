"""The tables of a log file, and how it is opened.

SQLite up to 3.51.2 can corrupt a write-ahead log when two connections write or
checkpoint at once, so one connection does both and all others only read.
"""

import sqlite3
from pathlib import Path

from streamer.errors import LogMisconfigured
from streamer.log.sqlite.faults import translated

VERSION = 1
_APPLICATION_ID = 0x53747265  # "Stre"
_BUSY_S = 5.0
_LARGEST_IDLE_WAL = 64 * 1024 * 1024

# AUTOINCREMENT, so that an offset is never given twice, even after retention
# emptied the table.
_TABLES = f"""
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
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """Return the one connection that writes and checkpoints, on a file that has our tables.

    Raises `LogUnavailable`, or `LogMisconfigured` for a file that is not ours.
    """
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read, and never checkpoints."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return how much of the file is in use; what was deleted is used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    try:
        _check_ours(connection, path)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise LogMisconfigured(
                f"the file system of {path} can't carry a write-ahead log: name a path on a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_IDLE_WAL}")
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.executescript(_TABLES)
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application != _APPLICATION_ID and (application or version or tables):
        raise LogMisconfigured(f"{path} is another program's database: name another path for the log")
    if version > VERSION:
        raise LogMisconfigured(
            f"{path} was written by a newer Streamer (schema {version}, this one knows {VERSION}): "
            "run that one, or name another path"
        )
