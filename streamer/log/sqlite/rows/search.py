"""Search in the rows of events and receipts.

SQLite searches for texts in the bodies without parsing them, at a few hundred thousand
rows a second. So appends need not maintain an index. The rows that SQLite finds are
then parsed and compared exactly.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from streamer.errors import LogMisconfigured
from streamer.events import Entry, EventId, Receipt, SubscriberName
from streamer.exact_json import exact_value
from streamer.log.foreign_records import ForeignRecords
from streamer.log.patterns import glob
from streamer.log.records import decode_receipt, event_from_json
from streamer.log.search_chunks import ANY_TYPE, text_time
from streamer.log.sqlite.database.json_pages import BodyQuery, read_bodies
from streamer.log.sqlite.rows.offsets import PARTITION, bounds, sound
from streamer.ports import EventSearch, LoggedEvent

ROWS_AT_ONCE = 10_000
"""Largest number of rows that one query examines, so that other readers need not wait long."""

_PAGE_ROWS = 500
_PAGE_BYTES = 4 * 1024 * 1024
_TIME = b'"time":"'
_TIME_LENGTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPage:
    """Rows with offsets from `begin` to `end` (excluded) that can match, in rising order."""

    events: Sequence[LoggedEvent]
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """SQL condition with its parameters."""

    text: str
    parameters: Sequence[object]


def read_found(connection: sqlite3.Connection, asked: EventSearch, begin: int, end: int) -> FoundPage:
    """Return a page of rows that can match, at the side of the range where the search begins.

    The range is from `begin` to `end` (excluded). A page is limited in events and
    bytes, but always has room for one event.
    """
    order = "ASC" if asked.oldest_first else "DESC"
    condition = _condition(asked)
    found, page = connection.execute(
        f"""
        WITH found AS (
          SELECT seq, size FROM events
          WHERE seq >= ? AND seq < ? AND {condition.text} ORDER BY seq {order} LIMIT ?
        ), summed AS (
          SELECT seq, size, sum(size) OVER (ORDER BY seq {order} ROWS UNBOUNDED PRECEDING) AS through
          FROM found
        )
        SELECT (SELECT count(*) FROM found), CAST('[' || group_concat(
          '[' || seq || ',' || size || ',' || appended_at || ',' || body || ']'
        ) || ']' AS BLOB)
        FROM (
          SELECT seq, summed.size AS size, appended_at, body FROM summed CROSS JOIN events USING (seq)
          WHERE through - summed.size < ?
        )
        """,  # noqa: S608 - words of our own, and placeholders
        (begin, end, *condition.parameters, _PAGE_ROWS, _PAGE_BYTES),
    ).fetchone()
    events = [] if page is None else _events(page)
    if len(events) == found < _PAGE_ROWS:
        return FoundPage(events=events, begin=begin, end=end)
    if asked.oldest_first:
        return FoundPage(events=events, begin=begin, end=events[-1].entry.offset + 1)
    return FoundPage(events=events, begin=events[0].entry.offset, end=end)


def read_at(connection: sqlite3.Connection, offset: int) -> LoggedEvent | None:
    """Return the event in the row `offset`, even a forwarded event, or `None`."""
    row = connection.execute("SELECT size, appended_at, body FROM events WHERE seq = ?", (offset,)).fetchone()
    return None if row is None else _events(b"[[%d,%d,%f,%b]]" % (offset, row[0], row[1], row[2]))[0]


def appended_at(connection: sqlite3.Connection, offset: int) -> float | None:
    """Return the time of the first row from `offset` on, in epoch seconds, or `None` after the last row."""
    row = connection.execute(
        "SELECT appended_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (offset,)
    ).fetchone()
    return None if row is None else float(row[0])


def receipt_bounds(connection: sqlite3.Connection, at: float) -> tuple[int, int]:
    """Return the number of the first receipt recorded since `at`, and the last receipt's number plus one."""
    low, end = bounds(connection, "receipts")
    high = end
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT seq, recorded_at FROM receipts WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
        ).fetchone()
        # The time of a receipt is in whole seconds.
        if row is not None and row[1] < int(at):
            low = row[0] + 1
        else:
            high = middle
    return low, end


def read_receipts(
    connection: sqlite3.Connection,
    event_ids: Sequence[EventId],
    begin: int,
    end: int,
    foreign: ForeignRecords,
) -> list[Receipt]:
    """Return the receipts of events in the rows from `begin` to `end` (excluded); skip foreign rows."""
    wanted = BodyQuery(
        table="receipts",
        where=f"seq >= ? AND seq < ? AND ({' OR '.join(['instr(body, ?)'] * len(event_ids))})",
        parameters=(begin, end, *(_member("event_id", each) for each in event_ids)),
    )
    found = sound(read_bodies(connection, wanted).rows, decode_receipt, "receipts", foreign)
    return [receipt for receipt in found if receipt.event_id in event_ids]


def parked_lane_of(connection: sqlite3.Connection, subscriber: SubscriberName, offset: int) -> str | None:
    """Return the name of the lane in which the event at `offset` is parked, or `None`."""
    row = connection.execute(
        "SELECT lane FROM parked_events WHERE subscriber = ? AND seq = ?", (subscriber, offset)
    ).fetchone()
    return None if row is None else str(row[0])


def _condition(asked: EventSearch) -> _Condition:
    types = asked.types or ANY_TYPE
    texts = ["forwarded_to IS ?", f"({' OR '.join(['type GLOB ?'] * len(types))})"]
    parameters: list[object] = [asked.forwarded_to, *map(glob, types)]
    for name, value in (("id", asked.event_id), ("channel", asked.channel)):
        if value is not None:
            texts.append("instr(body, ?)")
            parameters.append(_member(name, value))
    if asked.key is not None:
        # This condition finds the text anywhere in the event; two precise conditions, for the
        # subject and the key, would take twice as long.
        texts.append("instr(body, ?)")
        parameters.append(_text(asked.key))
    for comparison, at in ((">=", asked.since), ("<", asked.until)):
        if at is not None:
            texts.append(
                f"CAST(substr(body, instr(body, ?) + {len(_TIME)}, {_TIME_LENGTH}) AS TEXT) {comparison} ?"
            )
            parameters += [_TIME, text_time(at)]
    return _Condition(text=" AND ".join(texts), parameters=parameters)


def _member(name: str, value: str) -> bytes:
    """Return a member of a JSON object in the only form in which `orjson` writes it."""
    return b'"%b":%b' % (name.encode(), _text(value))


def _text(value: str) -> bytes:
    return orjson.dumps(value.encode("utf-8", "replace").decode())


def _events(page: bytes) -> list[LoggedEvent]:
    try:
        found = [
            LoggedEvent(
                entry=Entry(partition=PARTITION, offset=seq, event=event_from_json(event), size=size),
                appended_at=float(at),
            )
            for seq, size, at, event in exact_value(page)
        ]
    except (LookupError, TypeError, ValueError) as exc:
        raise LogMisconfigured(
            "the log holds an event that Streamer did not write: restore the file from a backup"
        ) from exc
    # The events are sorted here, because SQLite promises no order inside an aggregate.
    found.sort(key=lambda each: each.entry.offset)
    return found
