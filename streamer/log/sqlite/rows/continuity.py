"""Rows of continuity records."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamer.errors import LogMisconfigured
from streamer.events import ContinuityRecord, Repair
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import decode_continuity, encode_continuity
from streamer.log.records.record import printable
from streamer.log.sqlite.database.bulk import insert_rows

NEWEST = 2**63 - 1
"""Number above those of all rows."""

_PAGE_ROWS = 500
_SELECT = "SELECT seq, id, recorded_at, body FROM continuity"

ContinuityRow = tuple[str, float, bool, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityPage:
    """Readable records of some rows, oldest first, and the `lowest` number of the rows, 0 without any."""

    records: Sequence[ContinuityRecord]
    lowest: int


def continuity_rows(records: Iterable[ContinuityRecord]) -> list[ContinuityRow]:
    """Return `records` as rows."""
    return [
        (printable(record.id), record.recorded_at, record.state is Repair.OPEN, encode_continuity(record))
        for record in records
    ]


def write_continuity(connection: sqlite3.Connection, rows: Sequence[ContinuityRow]) -> None:
    """Add continuity records; one with a known id replaces the former state in its row."""
    insert_rows(
        connection,
        "INSERT INTO continuity (id, recorded_at, is_open, body)",
        rows,
        conflict="ON CONFLICT (id) DO UPDATE SET is_open = excluded.is_open, body = excluded.body",
    )


def read_open(connection: sqlite3.Connection, foreign: ForeignRecords) -> list[ContinuityRecord]:
    """Return the open records, oldest first."""
    return list(_read(connection.execute(f"{_SELECT} WHERE is_open ORDER BY seq"), foreign))


def read_by_ids(
    connection: sqlite3.Connection, ids: Collection[str], foreign: ForeignRecords
) -> list[ContinuityRecord]:
    """Return the records of `ids`."""
    rows = (connection.execute(f"{_SELECT} WHERE id = ?", (printable(each),)).fetchone() for each in ids)
    return list(_read((row for row in rows if row is not None), foreign))


def read_before(connection: sqlite3.Connection, before: int, foreign: ForeignRecords) -> ContinuityPage:
    """Return the last records whose rows are numbered below `before`."""
    rows = connection.execute(
        f"{_SELECT} WHERE seq < ? ORDER BY seq DESC LIMIT {_PAGE_ROWS}", (before,)
    ).fetchall()
    rows.reverse()
    return ContinuityPage(records=list(_read(rows, foreign)), lowest=rows[0][0] if rows else 0)


def _read(rows: Iterable[tuple[Any, ...]], foreign: ForeignRecords) -> Iterator[ContinuityRecord]:
    for seq, id_, recorded_at, body in rows:
        try:
            record = decode_continuity(body, former_id=id_)
        except LogMisconfigured as error:
            foreign.set_aside("continuity", f"row {seq} of the table continuity", error)
            continue
        # The row keeps the time of the first state; those of the former format have it in the body alone.
        yield record if recorded_at is None else replace(record, recorded_at=recorded_at)
