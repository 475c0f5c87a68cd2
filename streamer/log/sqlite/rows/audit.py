"""What was done, as rows."""

import sqlite3

from streamer.controls import AuditRecord
from streamer.log.records import decode_audit
from streamer.log.sqlite.database.json_pages import Bodies, read_bodies

_NEWEST = 2**63 - 1


def write_audit(connection: sqlite3.Connection, body: bytes, now: float) -> None:
    """Add a record."""
    connection.execute("INSERT INTO audit (recorded_at, body) VALUES (?, ?)", (int(now), body))


def read_audit(
    connection: sqlite3.Connection, count: int, before: int = _NEWEST
) -> tuple[list[AuditRecord], int]:
    """Return some of the last `count` records with numbers below `before`, and the lowest of their numbers.

    They come oldest first; none are left when none come.
    """
    wanted = Bodies(table="audit", where="seq < ?", parameters=(before,), latest=True, count=count)
    rows = read_bodies(connection, wanted).rows
    return [decode_audit(body) for _, body in rows], rows[0][0] if rows else before
