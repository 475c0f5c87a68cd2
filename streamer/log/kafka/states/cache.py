"""Local copy of one partition of a state topic, in a SQLite file."""

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import RecordState
from streamer.log.kafka.records.states import StateRow, WrittenState, change_partition
from streamer.log.kafka.states.memory import CopyMemory, RecentStates, UnsavedRows, size_of
from streamer.log.records import decode_record_state

_log = structlog.get_logger()
_FORMAT = 1
_TABLES = """
CREATE TABLE state (record_id TEXT PRIMARY KEY, value BLOB, last BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE about (
    format INTEGER NOT NULL, origin TEXT NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL,
    is_own INTEGER NOT NULL, has_strays INTEGER NOT NULL, complete_at REAL NOT NULL
);
"""
# Only one connection ever uses the file. After a power cut, the file can lack its last transactions,
# but `NORMAL` keeps every transaction whole.
_OPENING = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -4000",
)
_IDS_AT_ONCE = 500
# After a crash, the rows that the file lacks are read from the topic again.
_SAVE_EVERY_S = 60.0
_Result = TypeVar("_Result")


class CacheLost(LogUnavailable):
    """The local copy of a state topic was damaged and is empty now; it must be read from its topic again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOrigin:
    """Partition `number` of the topic with the id `topic_id` and the states of `entity`, and its file.

    The topic keeps each tombstone for `tombstones_s` seconds.
    """

    entity: str
    topic_id: str
    number: int
    path: Path
    tombstones_s: float


class PlacedRow(NamedTuple):
    """Row and the offset of its record in the topic."""

    offset: int
    row: StateRow


class WrittenSpan(NamedTuple):
    """Offsets of the records that one transaction wrote to a partition."""

    first: int
    last: int
    number: int


@dataclass(slots=True, kw_only=True)
class _Position:
    """Offset up to which the file has all records of the topic.

    `is_own` is true if the last record before `offset` is the last of a transaction of
    this process, so that the transaction's marker follows. `has_strays` is true if the
    partition has had a record whose change came from a partition with another number.
    """

    offset: int = 0
    is_own: bool = False
    has_strays: bool = False
    complete_at: float = 0.0


class StateCache:
    """Copy of a partition of a state topic; any thread can use it.

    The file is only a cache: a damaged, foreign or outdated file is deleted, and the
    topic is read again. New rows stay in memory for a while, so that a record that
    changes often is seldom written. The file gets the rows and the position in the
    same transaction. After a crash, the topic is read from the file's position.
    """

    def __init__(self, origin: CopyOrigin, clock: Clock, memory: CopyMemory) -> None:
        """Prepare; the first use opens the file."""
        self._origin = origin
        self._clock = clock
        self._memory = memory
        self._unsaved = UnsavedRows()
        self._recent = RecentStates()
        self._saved_at = clock.monotonic()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._at = _Position()
        # Number of the occasions after which the topic must be read, and the number of those after
        # which a reader has read it.
        self._unplaced = 1
        self._found = 0

    @property
    def number(self) -> int:
        """Number of the partition."""
        return self._origin.number

    @property
    def is_complete(self) -> bool:
        """True if the file has every record that this process knows of."""
        return self._connection is not None and self._found == self._unplaced

    @property
    def has_strays(self) -> bool:
        """True if records of this partition have come from a change partition with another number."""
        return self._at.has_strays

    def begin(self, first: int, end: int) -> tuple[int, int]:
        """Return the offset to read from, below `end`, and a number for `finish`.

        `first` and `end` are the partition's offsets at the moment. A file that does not
        fit is deleted. Raises `LogUnavailable`.
        """
        with self._lock:
            self._use(lambda _: None)
            if reason := self._unfit(first, end):
                self._delete(reason)
                self._use(lambda _: None)
            if not self._at.offset:
                # All tombstones that the topic has now are read, so a second reader can use the file.
                self._at.complete_at = self._clock.now()
            return max(first, self._at.offset), self._unplaced

    def unread(self, span: WrittenSpan) -> tuple[int, int] | None:
        """Return the range of offsets up to `span` that the file lacks, or `None` if `span` follows the file.

        `span` are the offsets of records that this process is about to commit. If they do
        not follow, the topic must be read before the next look-up.
        """
        with self._lock:
            if self._follows(span):
                return None
            self._unplaced += 1
            return min(self._at.offset, span.first), span.last + 1

    def put(self, rows: Sequence[PlacedRow], position: int) -> None:
        """Add rows that were read from the topic in order, up to the offset `position`."""
        with self._lock:
            self._use(lambda _: None)
            if position <= self._at.offset:
                return
            new = [each.row for each in rows if each.offset >= self._at.offset]
            for row in new:
                self._recent.forget(row.record_id)
            self._at.has_strays |= any(change_partition(row.last) != self.number for row in new)
            self._at.offset, self._at.is_own = position, False
            self._add(new)

    def finish(self, end: int, unplaced: int) -> None:
        """Note that all records below `end` were read by a reader that began with the number `unplaced`."""
        with self._lock:
            if end > self._at.offset:
                self._at.offset, self._at.is_own = end, False
            self._at.complete_at = self._clock.now()
            self._save()
            self._found = max(self._found, unplaced)

    def apply(self, written: Sequence[WrittenState], span: WrittenSpan | None) -> None:
        """Add states that this process has committed; `span` are their offsets, if the brokers reported all.

        If the offsets do not follow the position, another process can have written
        between them. The position then stays, and the topic must be read from there.
        """
        with self._lock:
            try:
                self._use(lambda _: None)
                if span is not None and self._follows(span):
                    self._at.offset, self._at.is_own = span.last + 1, True
                    self._at.complete_at = self._clock.now()
                else:
                    self._unplaced += 1
                self._at.has_strays |= any(
                    each.state.last.partition.number != self.number for each in written
                )
                for each in written:
                    self._recent.put(each.state, size_of(each.row), self._memory.part)
                self._add([each.row for each in written])
            except LogUnavailable:
                # The records are in the topic, and are read from there before the next look-up.
                self._unplaced += 1

    def get(self, record_ids: Collection[str]) -> list[RecordState]:
        """Return the states of those records that have one. Raises `LogUnavailable`."""
        with self._lock:
            self._use(lambda _: None)
            recent = {each: self._recent.get(each) for each in record_ids}
            found = [state for state in recent.values() if state is not None]
            others = [record_id for record_id, state in recent.items() if state is None]
            return [*found, *(decode_record_state(self._origin.entity, *row) for row in self._rows(others))]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._found == self._unplaced:
                self._at.complete_at = self._clock.now()
            if self._connection is not None:
                with suppress(LogUnavailable):
                    self._save()
            self._disconnect()

    def _follows(self, span: WrittenSpan) -> bool:
        # A transaction ends with a marker, which takes one offset.
        expected = self._at.offset + (1 if self._at.is_own else 0)
        return span.first == expected and span.last - span.first + 1 == span.number

    def _unfit(self, first: int, end: int) -> str:
        at = self._at
        if at.offset > end:
            return "the file has more records than the topic"
        if 0 < at.offset < first:
            return "the topic no longer has the records that follow the file's last record"
        age_s = self._clock.now() - at.complete_at
        # The topic forgets old tombstones, so an old file would keep deleted records.
        if 0 < at.offset < end and not 0 <= age_s < self._origin.tombstones_s / 2:
            return "the file is older than the tombstones in the topic"
        return ""

    def _rows(self, record_ids: Sequence[str]) -> list[StateRow]:
        unsaved = {each: self._unsaved.get(each) for each in record_ids}
        found = [row for row in unsaved.values() if row is not None]
        saved = [record_id for record_id, row in unsaved.items() if row is None]
        return [*found, *self._use(lambda connection: list(_rows(connection, saved)))] if saved else found

    def _add(self, rows: Iterable[StateRow]) -> None:
        self._unsaved.add(rows)
        is_old = self._clock.monotonic() - self._saved_at >= _SAVE_EVERY_S
        if is_old or self._unsaved.size > self._memory.part:
            self._save()

    def _save(self) -> None:
        """Write the rows that the file lacks, and the position after them."""

        def save(connection: sqlite3.Connection) -> None:
            rows = self._unsaved.sorted()
            with connection:
                connection.execute("BEGIN")
                connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", rows)
                _place(connection, self._at)

        self._use(save)
        self._unsaved.clear()
        self._saved_at = self._clock.monotonic()

    def _use(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            if self._connection is None:
                self._open()
            assert self._connection is not None  # noqa: S101 - for the type checker
            return work(self._connection)
        except sqlite3.Error as exc:
            self._delete(str(exc))
            raise CacheLost(f"the local copy {self._origin.path} was damaged and is built again") from exc
        except OSError as exc:
            raise LogUnavailable(
                f"{self._origin.path} can't be opened ({exc.strerror}): check log.kafka.state_directory"
            ) from exc

    def _open(self) -> None:
        existed = self._origin.path.exists()
        try:
            self._connection = _opened(self._origin.path)
            self._at = _load(self._connection, self._origin)
        except (sqlite3.Error, _Unfit) as exc:
            self._delete(str(exc), is_loud=existed)
            self._connection = _opened(self._origin.path)
            self._at = _load(self._connection, self._origin)

    def _delete(self, reason: str, *, is_loud: bool = True) -> None:
        self._disconnect()
        self._at = _Position()
        self._unsaved.clear()
        self._recent.clear()
        self._unplaced += 1
        path = self._origin.path
        if is_loud:
            _log.warning("state.copy_dropped", path=str(path), reason=reason)
        for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
            each.unlink(missing_ok=True)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class _Unfit(Exception):
    """The file belongs to another topic or has another format."""


def _opened(path: Path) -> sqlite3.Connection:
    # SQLite gives the write-ahead log the same rights.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for statement in _OPENING:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _load(connection: sqlite3.Connection, origin: CopyOrigin) -> _Position:
    if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        connection.executescript(f"BEGIN; {_TABLES}")
        about = (_FORMAT, origin.topic_id, origin.number)
        connection.execute("INSERT INTO about VALUES (?, ?, ?, 0, 0, 0, 0)", about)
        connection.execute("COMMIT")
        return _Position()
    version, topic_id, number, offset, is_own, has_strays, complete_at = connection.execute(
        "SELECT format, origin, number, position, is_own, has_strays, complete_at FROM about"
    ).fetchone()
    if version != _FORMAT:
        raise _Unfit(f"the file has the format {version}, and this version of Streamer uses {_FORMAT}")
    if (topic_id, number) != (origin.topic_id, origin.number):
        raise _Unfit("the file belongs to another topic, or the topic was created again")
    return _Position(offset=offset, is_own=bool(is_own), has_strays=bool(has_strays), complete_at=complete_at)


def _place(connection: sqlite3.Connection, at: _Position) -> None:
    connection.execute(
        "UPDATE about SET position = ?, is_own = ?, has_strays = ?, complete_at = ?",
        (at.offset, at.is_own, at.has_strays, at.complete_at),
    )


def _rows(connection: sqlite3.Connection, record_ids: Sequence[str]) -> Iterable[StateRow]:
    for start in range(0, len(record_ids), _IDS_AT_ONCE):
        some = record_ids[start : start + _IDS_AT_ONCE]
        places = ", ".join("?" * len(some))
        query = f"SELECT record_id, value, last FROM state WHERE record_id IN ({places})"  # noqa: S608 - places only
        with closing(connection.execute(query, some)) as found:
            yield from map(StateRow._make, found)
