"""Rows of record states: the newest state of each record of some entities."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from streamer.events import RecordState
from streamer.log.records import decode_record_state, encode_last_change, encode_record_state
from streamer.log.sqlite.database.worker import insert_rows

_IDS_AT_ONCE = 500

StateRow = tuple[str, str, bytes | None, bytes, float | None]
"""Entity, record id, encoded state and last change, and the time at which a deletion was recorded."""


def state_row(state: RecordState, now: float) -> StateRow:
    """Return the row of a state; raises `TypeError` when JSON can't hold the fields."""
    value, last = encode_record_state(state), encode_last_change(state.last)
    return state.entity, state.record_id, value, last, now if state.is_deleted else None


def newest(rows: Sequence[StateRow]) -> list[StateRow]:
    """Return the last row of each record."""
    return list({(row[0], row[1]): row for row in rows}.values())


def write_states(connection: sqlite3.Connection, rows: Sequence[StateRow]) -> None:
    """Replace the states of the records in `rows`; no record has two rows."""
    insert_rows(
        connection,
        "INSERT OR REPLACE INTO record_states (entity, record_id, state, last, deleted_at)",
        rows,
    )


def begin_states(connection: sqlite3.Connection, entities: Collection[str]) -> None:
    """Keep states of exactly these entities from now on.

    The states of an entity that is left out would become outdated, so they are deleted.
    """
    known = {row[0] for row in connection.execute("SELECT entity FROM state_origins")}
    for entity in known.difference(entities):
        connection.execute("DELETE FROM record_states WHERE entity = ?", (entity,))
        connection.execute("DELETE FROM state_origins WHERE entity = ?", (entity,))
    for entity in sorted(set(entities) - known):
        connection.execute("INSERT INTO state_origins VALUES (?, ?)", (entity, uuid4().hex))


def read_origins(connection: sqlite3.Connection, entities: Collection[str]) -> dict[str, str]:
    """Return an id of the states of each entity."""
    rows = connection.execute("SELECT entity, origin FROM state_origins")
    return {entity: origin for entity, origin in rows if entity in entities}


def read_states(
    connection: sqlite3.Connection, entity: str, record_ids: Collection[str]
) -> Mapping[str, RecordState]:
    """Return the states of these records, by record id."""
    found: dict[str, RecordState] = {}
    ids = list(record_ids)
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[begin : begin + _IDS_AT_ONCE]
        places = ",".join("?" * len(some))
        rows = connection.execute(
            f"SELECT record_id, state, last FROM record_states WHERE entity = ? AND record_id IN ({places})",  # noqa: S608 - nothing but placeholders
            (entity, *some),
        )
        for record_id, state, last in rows:
            found[record_id] = decode_record_state(entity, record_id, state, last)
    return found


def forget_deleted(connection: sqlite3.Connection, before: float, *, most: int) -> int:
    """Delete at most `most` rows of records that were deleted before a time; return their number."""
    return connection.execute(
        "DELETE FROM record_states WHERE rowid IN"
        " (SELECT rowid FROM record_states WHERE deleted_at < ? LIMIT ?)",
        (before, most),
    ).rowcount
