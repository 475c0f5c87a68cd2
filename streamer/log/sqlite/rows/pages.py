"""Pages of events for one subscriber, and an iterator that skips foreign rows.

SQLite returns a page as one row, which is parsed in one step. Reading row by row, a
thread that competed with a busy event loop got 1,500 events a second; this way, it
gets 68,000.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import Entry, Partition, SubscriberName
from streamer.exact_json import exact_value
from streamer.log.foreign_records import ForeignRecords
from streamer.log.patterns import glob
from streamer.log.records import event_from_json

PARTITION = Partition(topic="log", number=0)
PAGE_EVENTS = 500
_PAGE_BYTES = 4 * 1024 * 1024
_OFFSETS_SCANNED = 10_000
_OFFSETS_COUNTED = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """Range of events to read: from `begin` to `end` (exclusive), with types that match one of `globs`.

    With `forwarded_to`, the range has only events that were forwarded to this
    subscriber; otherwise, only events that were not forwarded. `globs` have the
    syntax of SQLite's GLOB.
    """

    begin: int
    end: int
    globs: Sequence[str]
    forwarded_to: SubscriberName | None = None


def read_page(connection: sqlite3.Connection, window: OffsetRange) -> tuple[list[Entry], int]:
    """Return the first entries of `window`, and the offset up to which it was read.

    A page is limited in events, in bytes (though one event always fits) and in
    scanned offsets.
    """
    stop = min(window.end, window.begin + _OFFSETS_SCANNED)
    either = " OR ".join(["type GLOB ?"] * len(window.globs)) or "FALSE"
    query = f"""
        WITH found AS (
          SELECT seq, size FROM events
          WHERE seq >= ? AND seq < ? AND forwarded_to IS ? AND ({either}) ORDER BY seq LIMIT ?
        ), summed AS (
          SELECT seq, size, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS through FROM found
        )
        SELECT (SELECT count(*) FROM found),
          CAST('[' || group_concat('[' || seq || ',' || size || ',' || body || ']') || ']' AS BLOB)
        FROM (
          SELECT seq, summed.size AS size, body FROM summed JOIN events USING (seq)
          WHERE through - summed.size < ? ORDER BY seq
        )
        """  # noqa: S608 - nothing but placeholders for the patterns
    found, page = connection.execute(
        query,
        (window.begin, stop, window.forwarded_to, *window.globs, PAGE_EVENTS, _PAGE_BYTES),
    ).fetchone()
    if page is None:
        return [], stop
    entries = _entries(page)
    whole = len(entries) == found < PAGE_EVENTS
    return entries, stop if whole else entries[-1].offset + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAppended:
    """Offset of the first event that was appended since a time.

    `is_cut_at` is the time of this event if earlier events since that time can have
    been deleted, and `None` otherwise.
    """

    offset: int
    is_cut_at: float | None = None


def first_appended(connection: sqlite3.Connection, at: float) -> FirstAppended:
    """Return the first event that was appended since `at`, by binary search over the rising times."""
    low, high = bounds(connection, "events")
    first = low
    while low < high:
        middle = (low + high) // 2
        # Row numbers can be missing, because a transaction was rolled back.
        row = connection.execute(
            "SELECT seq, appended_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
        ).fetchone()
        if row is not None and row[1] < at:
            low = row[0] + 1
        else:
            high = middle
    is_cut = low == first > 1
    return FirstAppended(offset=low, is_cut_at=_appended_at(connection, low) if is_cut else None)


def bounds(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Return the number of the first row of `table`, and the last number plus one; zeros if it is empty."""
    # Two subqueries are needed: for min and max in one query, SQLite would read the whole table.
    first, last = connection.execute(
        f"SELECT (SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})"  # noqa: S608 - names of ours
    ).fetchone()
    return (0, 0) if first is None else (first, last + 1)


def count_appended(connection: sqlite3.Connection, at: float, patterns: Sequence[str]) -> int:
    """Return how many events were appended since `at`, of types that match `patterns`.

    Above some tens of thousands of events, it counts events of all types, because
    this needs no reading.
    """
    first = first_appended(connection, at).offset
    last = connection.execute("SELECT ifnull(max(seq) + 1, 0) FROM events").fetchone()[0]
    if last - first > _OFFSETS_COUNTED:
        return int(last - first)
    either = " OR ".join(["type GLOB ?"] * len(patterns)) or "FALSE"
    query = f"SELECT count(*) FROM events WHERE seq >= ? AND forwarded_to IS NULL AND ({either})"  # noqa: S608 - nothing but placeholders
    return int(connection.execute(query, (first, *map(glob, patterns))).fetchone()[0])


def _appended_at(connection: sqlite3.Connection, offset: int) -> float:
    row = connection.execute("SELECT appended_at FROM events WHERE seq = ?", (offset,)).fetchone()
    return float(row[0])


def _entries(page: bytes) -> list[Entry]:
    try:
        entries = [
            Entry(partition=PARTITION, offset=seq, event=event_from_json(event), size=size)
            for seq, size, event in exact_value(page)
        ]
    except (LookupError, TypeError, ValueError) as exc:
        raise LogMisconfigured(
            "the log holds an event that Streamer did not write: restore the file from a backup"
        ) from exc
    # SQLite promises no order inside an aggregate.
    entries.sort(key=lambda entry: entry.offset)
    return entries


_Value = TypeVar("_Value")


def sound(
    rows: Iterable[tuple[object, bytes]],
    decode: Callable[[bytes], _Value],
    table: str,
    foreign: ForeignRecords,
) -> Iterator[_Value]:
    """Yield the decoded bodies of `rows` of `table`; skip and log foreign rows."""
    for key, body in rows:
        try:
            yield decode(body)
        except ForeignRecord as exc:
            foreign.set_aside(table, f"row {key} of the table {table}", exc)
