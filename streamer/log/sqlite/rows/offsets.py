"""Finds the offsets of events by the time of their append, and the readable rows of any table."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from streamer.errors import ForeignRecord
from streamer.events import Partition
from streamer.log.foreign_records import ForeignRecords
from streamer.log.patterns import glob

PARTITION = Partition(topic="log", number=0)
_OFFSETS_COUNTED = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAppended:
    """Offset of the first event that was appended since a time.

    `is_cut_at` is the time of the event at `offset` if retention can have deleted
    earlier events that belong to the requested period, and `None` otherwise.
    """

    offset: int
    is_cut_at: float | None = None


def first_appended(connection: sqlite3.Connection, at: float) -> FirstAppended:
    """Return the first event that was appended since `at`.

    The times of the rows rise, so a binary search finds the event.
    """
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
    """Return the first row's number, and the last row's number plus one; zeros for an empty `table`."""
    # Two subqueries are needed: for min and max in one query, SQLite would read the whole table.
    first, last = connection.execute(
        f"SELECT (SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})"  # noqa: S608 - names of ours
    ).fetchone()
    return (0, 0) if first is None else (first, last + 1)


def count_appended(connection: sqlite3.Connection, at: float, patterns: Sequence[str]) -> int:
    """Return how many events were appended since `at`, of types that match `patterns`.

    Above some tens of thousands of events, the function counts events of all types,
    because this count needs no reading of rows.
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
