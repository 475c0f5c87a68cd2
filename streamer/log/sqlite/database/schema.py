"""Connections to the log's file, and upgrades of its schema.

SQLite up to 3.51.2 can corrupt a write-ahead log when two connections write or
checkpoint at the same time. So only one connection writes and checkpoints, and all
other connections only read.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import structlog

from streamer import regular_files
from streamer.errors import LogMisconfigured
from streamer.log.records import letter_head
from streamer.log.sqlite.database.errors import translated

APPLICATION_ID = 0x53747265  # "Stre"

# AUTOINCREMENT ensures that no offset is used twice, even after retention has emptied the table.
_EVENTS = f"""
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
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
COMMIT;
"""

# A parked event keeps the offset at which it was read, and a retry rewrites only the setback of
# its lane. A restart reads only the second index and no bodies.  A dead letter gets a number
# that is never used twice. So dead letters can be listed in pages while other dead letters are
# added and removed, which the earlier key did not allow.
_DELIVERY = """
BEGIN IMMEDIATE;
CREATE TABLE parked_events (
  subscriber TEXT NOT NULL,
  seq INTEGER NOT NULL,
  lane TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (subscriber, seq)
);
CREATE INDEX parked_in_lanes ON parked_events (subscriber, lane, seq);
CREATE TABLE parked_lanes (
  subscriber TEXT NOT NULL,
  lane TEXT NOT NULL,
  setback BLOB NOT NULL,
  PRIMARY KEY (subscriber, lane)
) WITHOUT ROWID;
CREATE TABLE receipts (seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, recorded_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE controls (subscriber TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE redrives (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE subscribers ADD COLUMN settlements INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  failed_at REAL NOT NULL,
  body BLOB NOT NULL
);
INSERT INTO dead_letters SELECT rowid, id, failed_at, body FROM former_dead_letters;
DROP TABLE former_dead_letters;
PRAGMA user_version = 2;
COMMIT;
"""

# Forwarded events are rows of the same table, so that they share offsets, pages and retention.
# The column comes last, because an empty last column takes no space.
_FORWARDED = """
BEGIN IMMEDIATE;
ALTER TABLE events ADD COLUMN forwarded_to TEXT;
PRAGMA user_version = 3;
COMMIT;
"""

# A continuity record keeps its row and the time at which it was first recorded, while new
# states replace its body. Records of the former format have no id, and no time outside of their
# bodies; all of them are in a final state.
_CONTINUITY = """
BEGIN IMMEDIATE;
ALTER TABLE continuity RENAME TO former_continuity;
CREATE TABLE continuity (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  recorded_at REAL,
  is_open INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX open_continuity ON continuity (seq) WHERE is_open;
INSERT INTO continuity SELECT seq, 'former:' || seq, NULL, 0, body FROM former_continuity;
DROP TABLE former_continuity;
PRAGMA user_version = 4;
COMMIT;
"""

_SNAPSHOTS = """
BEGIN IMMEDIATE;
CREATE TABLE snapshots (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 5;
COMMIT;
"""

# Checkpoints that an earlier version of Streamer wrote have no time.
_POSITIONS = """
BEGIN IMMEDIATE;
CREATE TABLE positions (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
ALTER TABLE checkpoints ADD COLUMN stored_at REAL;
PRAGMA user_version = 6;
COMMIT;
"""

# The head comes before the body, so that a list of heads reads no page of a large body.
# `letter_head` is a function that Streamer defines.
_LETTER_HEADS = """
BEGIN IMMEDIATE;
ALTER TABLE dead_letters RENAME TO former_dead_letters;
CREATE TABLE dead_letters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  failed_at REAL NOT NULL,
  head BLOB NOT NULL,
  body BLOB NOT NULL
);
INSERT INTO dead_letters SELECT seq, id, failed_at, letter_head(body), body FROM former_dead_letters;
DROP TABLE former_dead_letters;
PRAGMA user_version = 7;
COMMIT;
"""

# The row of a deleted record stays for some days, so that an older event does not bring the
# record back.
_RECORD_STATES = """
BEGIN IMMEDIATE;
CREATE TABLE record_states (
  entity TEXT NOT NULL,
  record_id TEXT NOT NULL,
  deleted_at REAL,
  last BLOB NOT NULL,
  state BLOB,
  PRIMARY KEY (entity, record_id)
);
CREATE INDEX deleted_records ON record_states (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE state_origins (entity TEXT PRIMARY KEY, origin TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 8;
COMMIT;
"""

UPGRADES = (
    _EVENTS,
    _DELIVERY,
    _FORWARDED,
    _CONTINUITY,
    _SNAPSHOTS,
    _POSITIONS,
    _LETTER_HEADS,
    _RECORD_STATES,
)
"""Scripts that upgrade a file from version n to n + 1, each in its own transaction."""

VERSION = len(UPGRADES)
_BUSY_S = 5.0
_LARGEST_IDLE_WAL = 64 * 1024 * 1024

_log = structlog.get_logger()


def open_writer(path: Path) -> sqlite3.Connection:
    """Return the only connection that writes and checkpoints; create or upgrade the tables first.

    Raises `LogUnavailable`, or `LogMisconfigured` for a foreign file.
    """
    _check_kind(path)
    # If the path is wrong, SQLite reports the error.
    with suppress(OSError):
        _make_private(path)
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


def _check_kind(path: Path) -> None:
    """Raise `LogMisconfigured` for a pipe, a device or a folder, because its rights must not be changed."""
    try:
        regular_files.check_kind(path)
    except (FileNotFoundError, PermissionError):
        # A missing file is created later; SQLite reports a missing permission.
        return
    except OSError as exc:
        raise LogMisconfigured(f"{path} can't be the log's file ({exc.strerror}): name another path") from exc


def _make_private(path: Path) -> None:
    """Give rights to the file's owner only; SQLite gives the same rights to the companion files."""
    with suppress(FileExistsError):
        # Open only a new file, because closing a file drops the locks that this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads and never checkpoints."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def open_shared(path: Path) -> sqlite3.Connection:
    """Return a read-only connection for a process that does not own the file.

    SQLite opens the database file read-only. So this connection can't checkpoint the
    write-ahead log. When this connection closes as the last connection, it also can't
    remove the write-ahead log. Raises `LogMisconfigured` for a file with another
    schema.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", timeout=_BUSY_S, isolation_level=None, uri=True
    )
    try:
        _check_current(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    try:
        _check_ours(connection, path)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise LogMisconfigured(
                f"the file system of {path} does not support a write-ahead log: name a path on a local disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_IDLE_WAL}")
        _upgrade(connection, path)
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.create_function("letter_head", 1, letter_head, deterministic=True)
    for upgrade in UPGRADES[found:]:
        connection.executescript(upgrade)
    if 0 < found < VERSION:
        _log.info("log.upgraded", path=str(path), found=found, version=VERSION)


def _check_ours(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the schema; 0 for an empty file."""
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application != APPLICATION_ID and (application or version or tables):
        raise LogMisconfigured(f"{path} is another program's database: name another path for the log")
    if version > VERSION:
        raise LogMisconfigured(
            f"a newer version of Streamer wrote {path} (schema {version}; this version knows up to "
            f"{VERSION}): run the newer version, or name another path"
        )
    return int(version)


def _check_current(connection: sqlite3.Connection, path: Path) -> None:
    version = _check_ours(connection, path)
    if version < VERSION:
        raise LogMisconfigured(
            f"an older version of Streamer wrote {path} (schema {version}; this version needs "
            f"{VERSION}): start the daemon of this version, which upgrades the file"
        )
