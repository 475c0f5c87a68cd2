"""Pages of events for one subscriber, without foreign rows.

A page leaves SQLite as one row, and is parsed at once: reading row by row, a
thread that competes with a busy loop got 1,500 events a second where this gets
68,000.
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
    """The events to read: from `begin` to `end` (exclusive), of the types that match one of SQLite's `globs`.

    They are those that were forwarded to a subscriber, or else those that were
    forwarded to none.
    """

    begin: int
    end: int
    globs: Sequence[str]
    forwarded_to: SubscriberName | None = None


def read_page(connection: sqlite3.Connection, window: OffsetRange) -> tuple[list[Entry], int]:
    """Return the first entries of `window`, and the offset up to which it was read.

    A page is bounded in events, in bytes (though one event always fits) and in
    the scanned offsets.
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

    `is_cut_at` is the time of that event where earlier ones that belong to it
    can have been deleted, `None` otherwise.
    """

    offset: int
    is_cut_at: float | None = None


def first_appended(connection: sqlite3.Connection, at: float) -> FirstAppended:
    """Return the first event that was appended since `at`, by halving: rows have rising times."""
    low, high = bounds(connection, "events")
    first = low
    while low < high:
        middle = (low + high) // 2
        # Rows are missing between others where a transaction was given up.
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
    """Return the number of the first row of `table`, and one behind the last; zeros for an empty one."""
    # In one query over both, SQLite would read the whole table.
    first, last = connection.execute(
        f"SELECT (SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})"  # noqa: S608 - names of ours
    ).fetchone()
    return (0, 0) if first is None else (first, last + 1)


def count_appended(connection: sqlite3.Connection, at: float, patterns: Sequence[str]) -> int:
    """Return how many events were appended since `at`, of types that match `patterns`.

    Of more than some tens of thousands, all types are counted, which needs no reading.
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
    """Yield the values of rows of `table`, which are keys and bodies; set aside those that are foreign."""
    for key, body in rows:
        try:
            yield decode(body)
        except ForeignRecord as exc:
            foreign.set_aside(table, f"row {key} of the table {table}", exc)
