"""Rows of subscribers: pages of their events, their progress and their settlements."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from streamer.errors import LogMisconfigured
from streamer.events import Entry, SettledOffsets, Start, SubscriberName
from streamer.exact_json import exact_value
from streamer.log.patterns import glob
from streamer.log.records import encode_receipt, event_from_json
from streamer.log.sqlite.database.worker import insert_rows, used_bytes
from streamer.log.sqlite.rows.appends import AppendedEnd, end, event_row, milliseconds
from streamer.log.sqlite.rows.offsets import PARTITION
from streamer.log.sqlite.rows.parked import (
    LetterRow,
    ParkedRows,
    letter_key,
    letter_rows,
    remove_letters,
    write_letters,
)
from streamer.log.sqlite.rows.states import StateRow, begin_states, newest, state_row, write_states
from streamer.normalise.malformed import as_event_time
from streamer.ports import Settlement, Subscription

# SQLite returns a page as one row, which is parsed at once. While the event loop was busy, a
# thread read 68,000 events a second in this way, and 1,500 events a second row by row.
PAGE_EVENTS = 500
_PAGE_BYTES = 4 * 1024 * 1024
_OFFSETS_SCANNED = 10_000
_ReceiptRow = tuple[int, bytes]
_ForwardedRow = tuple[float, str, int, bytes, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """Range of events to read: from `begin` to `end` (exclusive), with types that match one of `globs`.

    With `forwarded_to`, the range has only events that were forwarded to this
    subscriber. Without `forwarded_to`, the range has only events that were not
    forwarded. `globs` have the syntax of SQLite's GLOB.
    """

    begin: int
    end: int
    globs: Sequence[str]
    forwarded_to: SubscriberName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPosition:
    """Stored position of `subscriber`.

    `not_before` is the time of the oldest event that the subscriber wants; it is empty
    if the subscriber did not start at a given time. `expired` is the number of offsets
    that retention deleted before the subscriber read them. `settlements` is the number
    of recorded settlements.
    """

    subscriber: SubscriberName
    progress: SettledOffsets
    not_before: str
    expired: int
    settlements: int


def window_of(subscription: Subscription, *, begin: int, end: int) -> OffsetRange:
    """Return the range of the subscriber's events from `begin` to `end` (exclusive)."""
    return OffsetRange(
        begin=begin,
        end=end,
        globs=tuple(map(glob, subscription.patterns)),
        forwarded_to=subscription.subscriber if subscription.after else None,
    )


def find_place(connection: sqlite3.Connection, subscription: Subscription) -> StoredPosition:
    """Return the subscriber's position; for a new subscriber, store and return its `start`.

    Downstream subscribers also get a position, so that retention keeps the events that
    are forwarded to these subscribers. No event was forwarded yet to a new downstream
    subscriber, so the subscriber begins at the end.
    """
    for downstream in subscription.downstream:
        if known_place(connection, downstream) is None:
            _begin(connection, downstream, end(connection), "")
    if subscription.states:
        begin_states(connection, subscription.states)
    name, start = subscription.subscriber, subscription.start
    place = known_place(connection, name)
    if place is None:
        is_latest = start is Start.LATEST or subscription.after
        begin = end(connection) if is_latest else _first(connection)
        moment = as_event_time(start) if isinstance(start, datetime) else ""
        _begin(connection, name, begin, moment)
        place = StoredPosition(
            subscriber=name,
            progress=SettledOffsets(next_offset=begin),
            not_before=moment,
            expired=0,
            settlements=0,
        )
    connection.execute("UPDATE subscribers SET absent_since = NULL WHERE name = ?", (name,))
    return place


def _begin(connection: sqlite3.Connection, name: SubscriberName, begin: int, not_before: str) -> None:
    connection.execute(
        "INSERT INTO subscribers (name, not_before, next_offset, settled_above) VALUES (?, ?, ?, '[]')",
        (name, not_before, begin),
    )


def known_place(connection: sqlite3.Connection, name: SubscriberName) -> StoredPosition | None:
    """Return the position of a subscriber; `None` if the subscriber is unknown."""
    row = connection.execute(
        "SELECT not_before, next_offset, settled_above, settlements FROM subscribers WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        return None
    not_before, next_offset, above, settlements = row
    return StoredPosition(
        subscriber=name,
        progress=SettledOffsets(next_offset=next_offset, settled_above=decode_offsets(above)),
        not_before=not_before,
        expired=max(0, _first(connection) - next_offset),
        settlements=settlements,
    )


def write_progress(
    connection: sqlite3.Connection, name: SubscriberName, progress: SettledOffsets | None, *, settlement: int
) -> bool:
    """Record a subscriber's progress with the settlement's number; return whether the number was new.

    If this settlement is recorded already, nothing changes, and the result is false.
    With `None` as the progress, the function records only the number.
    """
    return bool(
        connection.execute(
            """
            UPDATE subscribers SET settlements = ?,
              next_offset = coalesce(?, next_offset), settled_above = coalesce(?, settled_above)
            WHERE name = ? AND settlements < ?
            """,
            (
                settlement,
                progress and progress.next_offset,
                progress and encode_offsets(progress.settled_above),
                name,
                settlement,
            ),
        ).rowcount
    )


def mark_absent(
    connection: sqlite3.Connection, configured: Collection[SubscriberName], now: float
) -> list[SubscriberName]:
    """Mark subscribers that are not in `configured` as absent since `now`; return the newly marked names."""
    names = [row[0] for row in connection.execute("SELECT name FROM subscribers WHERE absent_since IS NULL")]
    absent = [SubscriberName(name) for name in names if name not in configured]
    connection.executemany(
        "UPDATE subscribers SET absent_since = ? WHERE name = ?", ((now, name) for name in absent)
    )
    return absent


def _first(connection: sqlite3.Connection) -> int:
    first = connection.execute("SELECT min(seq) FROM events").fetchone()[0]
    return end(connection) if first is None else int(first)


def read_page(connection: sqlite3.Connection, window: OffsetRange) -> tuple[list[Entry], int]:
    """Return the first entries of `window`, and the offset up to which the window was read.

    A page is limited in scanned offsets, in events and in bytes, but always has room
    for one event.
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
    # The entries are sorted here, because SQLite promises no order inside an aggregate.
    entries.sort(key=lambda entry: entry.offset)
    return entries


def encode_offsets(offsets: Iterable[int]) -> str:
    """Return `offsets` as a JSON array with the first and the last offset of each run."""
    bounds: list[int] = []
    for offset in sorted(offsets):
        if bounds and offset == bounds[-1] + 1:
            bounds[-1] = offset
        else:
            bounds += (offset, offset)
    return orjson.dumps(bounds).decode()


def decode_offsets(text: str) -> frozenset[int]:
    """Return the offsets that `encode_offsets` wrote."""
    return frozenset(_offsets(orjson.loads(text)))


def _offsets(bounds: list[int]) -> Iterator[int]:
    for first, last in zip(bounds[::2], bounds[1::2], strict=True):
        yield from range(first, last + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LetterChanges:
    """Keys of dead letters to remove, and rows of dead letters to add."""

    removed: Sequence[str]
    added: Sequence[LetterRow]

    def write(self, connection: sqlite3.Connection) -> None:
        # Dead letters are removed before new ones are written, because this settlement can contain
        # a new dead letter of a redriven event.
        if self.removed:
            remove_letters(connection, self.removed)
        if self.added:
            write_letters(connection, self.added)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSettlement:
    """Settlement as rows; `number` is its number among the settlements of the subscriber."""

    subscriber: SubscriberName
    number: int
    progress: SettledOffsets | None
    letters: _LetterChanges
    parked: ParkedRows | None
    receipts: Sequence[_ReceiptRow]
    forwarded: Sequence[_ForwardedRow]
    states: Sequence[StateRow]

    @property
    def weight(self) -> int:
        """Approximate number of rows to write."""
        rows = (self.letters.removed, self.letters.added, self.receipts, self.forwarded, self.states)
        parked = 0 if self.parked is None else len(self.parked.joined) + len(self.parked.setbacks)
        return 1 + sum(map(len, rows)) + parked


def encode_settlement(
    settlement: Settlement, *, subscriber: SubscriberName, number: int, now: float
) -> EncodedSettlement:
    """Return `settlement` as rows."""
    return EncodedSettlement(
        subscriber=subscriber,
        number=number,
        progress=settlement.progress.get(PARTITION),
        letters=_LetterChanges(
            removed=[letter_key(id_) for id_ in settlement.redriven],
            added=letter_rows(settlement.set_aside) if settlement.set_aside else (),
        ),
        parked=ParkedRows.of(subscriber, settlement.lanes) if settlement.lanes else None,
        receipts=[(int(now), encode_receipt(receipt)) for receipt in settlement.receipts],
        forwarded=[(*event_row(each.event, milliseconds(now)), each.to) for each in settlement.forwarded],
        states=newest([state_row(each, now) for each in settlement.states]) if settlement.states else (),
    )


def write_settlement(connection: sqlite3.Connection, settlement: EncodedSettlement) -> AppendedEnd | None:
    """Record the whole settlement, unless it is recorded already.

    Returns the end and the size of the log if the settlement forwarded events, and
    otherwise `None`.
    """
    is_new = write_progress(
        connection, settlement.subscriber, settlement.progress, settlement=settlement.number
    )
    if is_new:
        _write(connection, settlement)
    if not settlement.forwarded:
        return None
    return AppendedEnd(end=end(connection), used_bytes=used_bytes(connection))


def _write(connection: sqlite3.Connection, settlement: EncodedSettlement) -> None:
    settlement.letters.write(connection)
    if settlement.parked is not None:
        settlement.parked.write(connection)
    insert_rows(connection, "INSERT INTO receipts (recorded_at, body)", settlement.receipts)
    insert_rows(
        connection,
        "INSERT INTO events (appended_at, type, size, body, forwarded_to)",
        settlement.forwarded,
    )
    if settlement.states:
        write_states(connection, settlement.states)
