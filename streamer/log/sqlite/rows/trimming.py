"""Trimming of the oldest rows, some at a time."""

import sqlite3
from dataclasses import dataclass

from streamer.events import SubscriberName
from streamer.log.sqlite.database.worker import used_bytes

RECEIPTS, AUDIT = "receipts", "audit"

# One DELETE of 507,000 rows held the writer for 2.4 s.
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """Result of one step of deletion: the number of deleted rows, and the remaining size.

    `held_by` is the subscriber that still needs the oldest remaining event.
    """

    deleted: int
    used_bytes: int
    held_by: SubscriberName | None = None


def trim(connection: sqlite3.Connection, *, older_than: float | None, absent_before: float) -> Trimmed:
    """Delete some of the oldest events that every subscriber has settled.

    Only events appended before `older_than` are deleted; with `None`, events of any age
    are deleted. Subscribers that became absent before `absent_before` are ignored. A
    parked event stays deliverable, because another table has a copy of the event.
    """
    held_by, floor = slowest(connection, absent_before=absent_before) or (None, None)
    first = connection.execute("SELECT min(seq) FROM events").fetchone()[0]
    if first is None:
        return Trimmed(deleted=0, used_bytes=used_bytes(connection))
    bound = first + ROWS_AT_ONCE
    deleted = connection.execute(
        "DELETE FROM events WHERE seq < ? AND appended_at < ?",
        (bound if floor is None else min(bound, floor), _latest(older_than)),
    ).rowcount
    return Trimmed(
        deleted=deleted,
        used_bytes=used_bytes(connection),
        held_by=held_by if floor is not None and floor <= bound else None,
    )


def trim_records(connection: sqlite3.Connection, table: str, *, older_than: float | None) -> Trimmed:
    """Delete some of the oldest rows of `RECEIPTS` or `AUDIT` that were recorded before `older_than`."""
    deleted = connection.execute(
        f"DELETE FROM {table} "  # noqa: S608 - one of two names of our own
        f"WHERE seq < (SELECT min(seq) FROM {table}) + ? AND recorded_at < ?",
        (ROWS_AT_ONCE, _latest(older_than)),
    ).rowcount
    return Trimmed(deleted=deleted, used_bytes=used_bytes(connection))


def _latest(older_than: float | None) -> float:
    return float("inf") if older_than is None else older_than


def slowest(connection: sqlite3.Connection, *, absent_before: float) -> tuple[SubscriberName, int] | None:
    """Return the subscriber that is furthest behind, and its offset.

    Subscribers that became absent before `absent_before` are ignored.
    """
    row = connection.execute(
        "SELECT name, next_offset FROM subscribers"
        " WHERE absent_since IS NULL OR absent_since >= ? ORDER BY next_offset LIMIT 1",
        (absent_before,),
    ).fetchone()
    return None if row is None else (SubscriberName(row[0]), row[1])
