"""Search for rows that Streamer did not write."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from streamer.clock import Clock
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import (
    decode_audit,
    decode_checkpoint,
    decode_continuity,
    decode_control,
    decode_letter_head,
    decode_position_order,
    decode_receipt,
    decode_redrive,
    decode_setback,
    decode_snapshot_order,
)
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.sound import sound
from streamer.observe.pulse import Pulses

_LAST_ROWS = 20_000

_TABLES: Mapping[tuple[str, str, str], Callable[[bytes], object]] = {
    ("checkpoints", "channel", "body"): decode_checkpoint,
    ("continuity", "seq", "body"): decode_continuity,
    # The body of a letter can have many megabytes.
    ("dead_letters", "seq", "head"): decode_letter_head,
    ("controls", "subscriber", "body"): decode_control,
    ("redrives", "id", "body"): decode_redrive,
    ("snapshots", "id", "body"): decode_snapshot_order,
    ("positions", "id", "body"): decode_position_order,
    ("audit", "seq", "body"): decode_audit,
    ("receipts", "seq", "body"): decode_receipt,
    ("parked_lanes", "lane", "setback"): decode_setback,
}
"""Decoder of each column of records, by its table and the column that names a row."""


async def foreign_rows(path: Path, clock: Clock) -> list[str]:
    """Return the places of the foreign rows among the last ones of each table of the log at `path`.

    Raises `LogUnavailable`, and `LogMisconfigured` for a file or a row of
    another version.
    """
    async with Worker.sharing(path, pulses=Pulses(clock)) as reader:
        return await reader.submit(_found)


def _found(connection: sqlite3.Connection) -> list[str]:
    foreign = ForeignRecords()
    for (table, key, column), decode in _TABLES.items():
        rows = connection.execute(
            f"SELECT {key}, {column} FROM {table} ORDER BY {key} DESC LIMIT {_LAST_ROWS}"  # noqa: S608 - names of ours
        )
        for _ in sound(rows, decode, table, foreign):
            pass
    return foreign.places
