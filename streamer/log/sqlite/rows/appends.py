"""Rows of appended events, and of checkpoints."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.errors import ForeignRecord
from streamer.events import Channel, Checkpoint, ContinuityRecord, DeadLetter, Event, OrgId
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import decode_checkpoint, encode_checkpoint, encode_event
from streamer.log.sqlite.database.worker import insert_rows, used_bytes
from streamer.log.sqlite.rows.controls import ContinuityRow, continuity_rows, write_continuity
from streamer.log.sqlite.rows.offsets import sound
from streamer.log.sqlite.rows.parked import LetterRow, letter_rows, remove_letters, write_letters
from streamer.ports import StoredCheckpoint

EventRow = tuple[float, str, int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRows:
    """Rows of one append."""

    channel: str
    checkpoint: bytes
    stored_at: float
    events: Sequence[EventRow]
    dead_letters: Sequence[LetterRow]
    continuity: Sequence[ContinuityRow]
    redriven: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendedEnd:
    """End offset of the log (exclusive) after an append, and the size of the file."""

    end: int
    used_bytes: int


def encode(
    events: Sequence[EventRow],
    checkpoint: Checkpoint,
    set_aside: Sequence[DeadLetter],
    continuity: Sequence[ContinuityRecord],
    *,
    now: float,
) -> AppendRows:
    """Return an append as rows; `now` is the time of its commit in epoch seconds."""
    return AppendRows(
        channel=str(checkpoint.channel),
        checkpoint=encode_checkpoint(checkpoint),
        stored_at=now,
        events=events,
        dead_letters=letter_rows(set_aside) if set_aside else (),
        continuity=continuity_rows(continuity) if continuity else (),
    )


def milliseconds(now: float) -> float:
    """Return `now` in epoch seconds as the log keeps it, without fractions of a millisecond."""
    return round(now, 3)


def event_row(event: Event, now: float) -> EventRow:
    """Return the row of `event`; raises `TypeError` if JSON can't hold its data.

    `now` is the time of the append: see `milliseconds`.
    """
    body = encode_event(event)
    return now, event.type, len(body), body


def write(connection: sqlite3.Connection, append: AppendRows) -> AppendedEnd:
    """Insert the rows of `append`; return the new end and size of the log."""
    insert_rows(connection, "INSERT INTO events (appended_at, type, size, body)", append.events)
    if append.redriven:
        # Dead letters are removed before new ones are written, because a redriven event can
        # become a dead letter again with the same id.
        remove_letters(connection, append.redriven)
    if append.dead_letters:
        write_letters(connection, append.dead_letters)
    if append.continuity:
        write_continuity(connection, append.continuity)
    connection.execute(
        "INSERT OR REPLACE INTO checkpoints (channel, body, stored_at) VALUES (?, ?, ?)",
        (append.channel, append.checkpoint, append.stored_at),
    )
    return AppendedEnd(end=end(connection), used_bytes=used_bytes(connection))


def end(connection: sqlite3.Connection) -> int:
    """Return the offset of the next event."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def read_orgs(connection: sqlite3.Connection, foreign: ForeignRecords) -> frozenset[OrgId]:
    """Return the orgs that have checkpoints."""
    return frozenset(checkpoint.channel.org for checkpoint in read_checkpoints(connection, foreign))


def read_checkpoints(connection: sqlite3.Connection, foreign: ForeignRecords) -> list[Checkpoint]:
    """Return the checkpoints of all channels; foreign rows are skipped."""
    return [stored.checkpoint for stored in read_stored(connection, "", foreign)]


def read_stored(
    connection: sqlite3.Connection, owner: str, foreign: ForeignRecords
) -> list[StoredCheckpoint]:
    """Return all channels' checkpoints with `owner` as the owner of each; foreign rows are skipped."""
    rows = connection.execute("SELECT channel, body, stored_at FROM checkpoints").fetchall()
    return [
        StoredCheckpoint(checkpoint=checkpoint, stored_at=stored_at, owner=owner)
        for channel, body, stored_at in rows
        for checkpoint in sound([(channel, body)], decode_checkpoint, "checkpoints", foreign)
    ]


def read_checkpoint(connection: sqlite3.Connection, channel: Channel) -> Checkpoint | None:
    """Return the checkpoint of `channel`, or `None`."""
    row = connection.execute("SELECT body FROM checkpoints WHERE channel = ?", (str(channel),)).fetchone()
    try:
        return None if row is None else decode_checkpoint(row[0])
    except ForeignRecord as exc:
        # A channel that started without its checkpoint would silently miss events.
        raise ForeignRecord(f"{exc} (row {channel} of the table checkpoints)") from exc
