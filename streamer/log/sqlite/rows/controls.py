"""Rows of controls, orders, audit records and continuity records, and the control state in memory."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamer.controls import AuditRecord, Control, ControlState, PositionOrder, Redrive, SnapshotOrder
from streamer.errors import LogMisconfigured
from streamer.events import ContinuityRecord, Repair
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import (
    decode_audit,
    decode_continuity,
    decode_control,
    decode_position_order,
    decode_redrive,
    decode_snapshot_order,
    encode_continuity,
    encode_control,
    encode_position_order,
    encode_redrive,
    encode_snapshot_order,
)
from streamer.log.records.events import printable
from streamer.log.sqlite.database.json_pages import BodyQuery, read_bodies
from streamer.log.sqlite.database.worker import insert_rows
from streamer.log.sqlite.rows.offsets import sound

_Row = tuple[str, bytes]
NEWEST = 2**63 - 1
"""A number above the number of every row."""


class SharedControls:
    """Copy of the file's control state in memory, which only this process can change."""

    def __init__(self) -> None:
        self._board = ControlState()
        self._changed = asyncio.Event()

    def show(self, board: ControlState) -> None:
        """Replace the control state, and notify its readers if it has changed."""
        if board != self._board:
            self._board = board
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def boards(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change."""
        while True:
            changed = self._changed
            yield self._board
            await changed.wait()


def control_row(control: Control) -> _Row:
    """Return a control as a row."""
    return control.subscriber, encode_control(control)


def redrive_row(redrive: Redrive) -> _Row:
    """Return a redrive as a row."""
    return redrive.id, encode_redrive(redrive)


def write_control(connection: sqlite3.Connection, row: _Row) -> None:
    """Replace the control of a subscriber."""
    connection.execute("INSERT OR REPLACE INTO controls VALUES (?, ?)", row)


def write_redrive(connection: sqlite3.Connection, row: _Row) -> None:
    """Write a redrive over the row with the same id."""
    connection.execute("INSERT OR REPLACE INTO redrives VALUES (?, ?)", row)


def forget_redrive(connection: sqlite3.Connection, id_: str) -> None:
    """Remove a redrive."""
    connection.execute("DELETE FROM redrives WHERE id = ?", (id_,))


def leave_out(connection: sqlite3.Connection, id_: str, letters: Collection[str]) -> None:
    """If the redrive is open, add these dead letters to the dead letters that it skips."""
    row = connection.execute("SELECT body FROM redrives WHERE id = ?", (id_,)).fetchone()
    if row is not None:
        write_redrive(connection, redrive_row(decode_redrive(row[0]).without(letters)))


def order_snapshot(connection: sqlite3.Connection, order: SnapshotOrder) -> None:
    """Write a snapshot order over the row with the same id, or remove an ended snapshot order."""
    row = printable(order.id), encode_snapshot_order(order)
    if order.ended_at is None:
        connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", row)
    else:
        connection.execute("DELETE FROM snapshots WHERE id = ?", row[:1])


def order_position(connection: sqlite3.Connection, order: PositionOrder) -> None:
    """Write a position order, or remove an ended position order."""
    row = printable(order.id), encode_position_order(order)
    if order.ended_at is None:
        connection.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", row)
    else:
        connection.execute("DELETE FROM positions WHERE id = ?", row[:1])


def read_board(connection: sqlite3.Connection, foreign: ForeignRecords) -> ControlState:
    """Return the control state; foreign rows are skipped.

    Raises `LogMisconfigured` for a row of a newer Streamer.
    """
    controls = sound(_all(connection, "subscriber", "controls"), decode_control, "controls", foreign)
    redrives = sound(_all(connection, "id", "redrives"), decode_redrive, "redrives", foreign)
    snapshots = sound(_all(connection, "id", "snapshots"), decode_snapshot_order, "snapshots", foreign)
    positions = sound(_all(connection, "id", "positions"), decode_position_order, "positions", foreign)
    return ControlState(
        controls={control.subscriber: control for control in controls},
        redrives={redrive.id: redrive for redrive in redrives},
        snapshots={order.id: order for order in snapshots},
        positions={order.id: order for order in positions},
    )


def _all(connection: sqlite3.Connection, key: str, table: str) -> list[tuple[str, bytes]]:
    return connection.execute(f"SELECT {key}, body FROM {table}").fetchall()  # noqa: S608 - names of ours


def write_audit(connection: sqlite3.Connection, body: bytes, now: float) -> None:
    """Add an audit record."""
    connection.execute("INSERT INTO audit (recorded_at, body) VALUES (?, ?)", (int(now), body))


def read_audit(
    connection: sqlite3.Connection, count: int, foreign: ForeignRecords, before: int = NEWEST
) -> tuple[list[AuditRecord], int]:
    """Return a page of the last `count` audit records with numbers below `before`, and the lowest number.

    The page has the oldest record first, and foreign rows are skipped. If the
    lowest number equals `before`, no more rows exist.
    """
    wanted = BodyQuery(table="audit", where="seq < ?", parameters=(before,), latest=True, count=count)
    rows = read_bodies(connection, wanted).rows
    return list(sound(rows, decode_audit, "audit", foreign)), rows[0][0] if rows else before


_PAGE_ROWS = 500
_SELECT_CONTINUITY = "SELECT seq, id, recorded_at, body FROM continuity"
ContinuityRow = tuple[str, float, bool, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityPage:
    """Readable records of a page of rows, oldest first.

    `lowest` is the lowest row number of the page, or 0 without rows.
    """

    records: Sequence[ContinuityRecord]
    lowest: int


def continuity_rows(records: Iterable[ContinuityRecord]) -> list[ContinuityRow]:
    """Return `records` as rows."""
    return [
        (printable(record.id), record.recorded_at, record.state is Repair.OPEN, encode_continuity(record))
        for record in records
    ]


def write_continuity(connection: sqlite3.Connection, rows: Sequence[ContinuityRow]) -> None:
    """Write continuity records; a record with a known id replaces the earlier state in its row."""
    insert_rows(
        connection,
        "INSERT INTO continuity (id, recorded_at, is_open, body)",
        rows,
        conflict="ON CONFLICT (id) DO UPDATE SET is_open = excluded.is_open, body = excluded.body",
    )


def read_open(connection: sqlite3.Connection, foreign: ForeignRecords) -> list[ContinuityRecord]:
    """Return the open continuity records, oldest first."""
    return list(
        _read_continuity(connection.execute(f"{_SELECT_CONTINUITY} WHERE is_open ORDER BY seq"), foreign)
    )


def read_by_ids(
    connection: sqlite3.Connection, ids: Collection[str], foreign: ForeignRecords
) -> list[ContinuityRecord]:
    """Return the continuity records with these ids."""
    rows = (
        connection.execute(f"{_SELECT_CONTINUITY} WHERE id = ?", (printable(each),)).fetchone()
        for each in ids
    )
    return list(_read_continuity((row for row in rows if row is not None), foreign))


def read_before(connection: sqlite3.Connection, before: int, foreign: ForeignRecords) -> ContinuityPage:
    """Return a page of the last continuity records with row numbers below `before`."""
    rows = connection.execute(
        f"{_SELECT_CONTINUITY} WHERE seq < ? ORDER BY seq DESC LIMIT {_PAGE_ROWS}", (before,)
    ).fetchall()
    rows.reverse()
    return ContinuityPage(records=list(_read_continuity(rows, foreign)), lowest=rows[0][0] if rows else 0)


@dataclass(frozen=True, slots=True)
class ContinuityPlace:
    """The last row that was read, and the ids of the records that were open then."""

    after: int = 0
    open_ids: frozenset[str] = frozenset()


def read_changed(
    connection: sqlite3.Connection, since: ContinuityPlace, foreign: ForeignRecords
) -> tuple[list[ContinuityRecord], ContinuityPlace]:
    """Return the records that were added, opened or ended since a place, oldest first, and the new place."""
    rows = {row[0]: row for row in connection.execute(f"{_SELECT_CONTINUITY} WHERE seq > ?", (since.after,))}
    now_open = connection.execute(f"{_SELECT_CONTINUITY} WHERE is_open").fetchall()
    open_ids = frozenset(row[1] for row in now_open)
    rows.update((row[0], row) for row in now_open if row[1] not in since.open_ids)
    for each in since.open_ids - open_ids:
        row = connection.execute(f"{_SELECT_CONTINUITY} WHERE id = ?", (each,)).fetchone()
        if row is not None:
            rows[row[0]] = row
    place = ContinuityPlace(max(since.after, *rows, 0), open_ids)
    return list(_read_continuity((rows[seq] for seq in sorted(rows)), foreign)), place


def _read_continuity(rows: Iterable[tuple[Any, ...]], foreign: ForeignRecords) -> Iterator[ContinuityRecord]:
    for seq, id_, recorded_at, body in rows:
        try:
            record = decode_continuity(body, former_id=id_)
        except LogMisconfigured as error:
            foreign.set_aside("continuity", f"row {seq} of the table continuity", error)
            continue
        # The row has the time of the first state. In the former format, only the body has this
        # time.
        yield record if recorded_at is None else replace(record, recorded_at=recorded_at)
