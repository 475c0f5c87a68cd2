"""Rows of parked lanes.

The body of an event is written once, when it is parked; a retry writes only its
lane's setback. An event is identified by its offset.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import Entry, ParkedLane, SubscriberName
from streamer.log.records import decode_event, decode_setback, encode_event, encode_setback
from streamer.log.sqlite.database.bulk import delete_rows, insert_rows
from streamer.log.sqlite.database.json_pages import PAGE_ROWS, BodyQuery, read_bodies
from streamer.log.sqlite.rows.pages import PARTITION
from streamer.ports import LaneChange

_LANES_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class ParkedRows:
    """The rows that changes of lanes add up to; a lane without a setback is removed."""

    subscriber: SubscriberName
    joined: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    setbacks: dict[str, bytes | None] = field(default_factory=dict)

    @classmethod
    def of(cls, subscriber: SubscriberName, changes: Sequence[LaneChange]) -> "ParkedRows":
        """Return the sum of `changes`, applied one after the other."""
        rows = cls(subscriber=subscriber)
        for change in changes:
            rows._add(change)
        return rows

    def write(self, connection: sqlite3.Connection) -> None:
        """Apply the changes; doing so twice changes nothing more."""
        parameters = (self.subscriber,)
        delete_rows(
            connection,
            "DELETE FROM parked_events WHERE subscriber = ? AND seq",
            self.left,
            parameters=parameters,
        )
        insert_rows(
            connection,
            "INSERT INTO parked_events (subscriber, seq, lane, body)",
            [(self.subscriber, seq, lane, body) for seq, (lane, body) in self.joined.items()],
            conflict="ON CONFLICT (subscriber, seq) DO NOTHING",
        )
        insert_rows(
            connection,
            "INSERT OR REPLACE INTO parked_lanes",
            [(self.subscriber, lane, kept) for lane, kept in self.setbacks.items() if kept is not None],
        )
        forgotten = [lane for lane, kept in self.setbacks.items() if kept is None]
        for table in ("parked_events", "parked_lanes"):
            delete_rows(
                connection,
                f"DELETE FROM {table} WHERE subscriber = ? AND lane",  # noqa: S608 - one of two tables of ours
                forgotten,
                parameters=parameters,
            )

    def _add(self, change: LaneChange) -> None:
        for entry in change.joined:
            self.joined[entry.offset] = change.lane, encode_event(entry.event)
            self.left.discard(entry.offset)
        for offset in change.left:
            self.joined.pop(offset, None)
            self.left.add(offset)
        self.setbacks[change.lane] = None if change.setback is None else encode_setback(change.setback)


def read_lanes(
    connection: sqlite3.Connection, subscriber: SubscriberName, after: str | None
) -> tuple[list[ParkedLane], str | None]:
    """Return some of the parked lanes with names after `after`, and the last name among them.

    An empty page is the end.
    """
    begin, named = ("", ()) if after is None else ("AND lane > ?", (after,))
    lines = connection.execute(
        f"""
        SELECT CAST(group_concat(hex(lane) || ' ' || offsets || ' ' || setback, char(10)) AS BLOB) FROM (
          SELECT lane, setback, (
            SELECT coalesce(group_concat(seq), '') FROM parked_events AS event
            WHERE event.subscriber = lanes.subscriber AND event.lane = lanes.lane
          ) AS offsets
          FROM parked_lanes AS lanes WHERE subscriber = ? {begin} ORDER BY lane LIMIT ?
        )
        """,  # noqa: S608 - a clause of our own
        (subscriber, *named, _LANES_AT_ONCE),
    ).fetchone()[0]
    lanes = [_lane(line) for line in lines.split(b"\n")] if lines else []
    return lanes, max((lane.lane for lane in lanes), default=after)


def read_lane(connection: sqlite3.Connection, subscriber: SubscriberName, lane: str) -> ParkedLane | None:
    """Return one parked lane of a subscriber, or `None`."""
    row = connection.execute(
        """
        SELECT setback, (
          SELECT CAST(coalesce(group_concat(seq), '') AS BLOB) FROM parked_events
          WHERE subscriber = ?1 AND lane = ?2
        ) FROM parked_lanes WHERE subscriber = ?1 AND lane = ?2
        """,
        (subscriber, lane),
    ).fetchone()
    if row is None:
        return None
    return ParkedLane(lane=lane, offsets=tuple(sorted(_numbers(row[1]))), setback=decode_setback(row[0]))


def read_parked(
    connection: sqlite3.Connection, subscriber: SubscriberName, offsets: Sequence[int]
) -> tuple[list[Entry], Sequence[int]]:
    """Return some of the parked events at `offsets`, which rise, and the offsets left to read."""
    asked, later = offsets[:PAGE_ROWS], offsets[PAGE_ROWS:]
    wanted = BodyQuery(
        table="parked_events",
        where=f"subscriber = ? AND seq IN ({','.join('?' * len(asked))})",
        parameters=(subscriber, *asked),
    )
    page = read_bodies(connection, wanted)
    entries = [
        Entry(partition=PARTITION, offset=seq, event=decode_event(body), size=len(body))
        for seq, body in page.rows
    ]
    cut = [] if page.is_whole else [offset for offset in asked if offset > entries[-1].offset]
    return entries, [*cut, *later]


def parked_among(
    connection: sqlite3.Connection, subscriber: SubscriberName, begin: int, end: int
) -> set[int]:
    """Return the parked offsets of a subscriber from `begin` to `end` (exclusive)."""
    offsets = connection.execute(
        """
        SELECT CAST(coalesce(group_concat(seq), '') AS BLOB) FROM parked_events
        WHERE subscriber = ? AND seq >= ? AND seq < ?
        """,
        (subscriber, begin, end),
    ).fetchone()[0]
    return set(_numbers(offsets))


def count_parked(connection: sqlite3.Connection) -> dict[SubscriberName, int]:
    """Return the number of parked events of each subscriber that has any."""
    rows = connection.execute("SELECT subscriber, count(*) FROM parked_events GROUP BY subscriber")
    return {SubscriberName(name): count for name, count in rows.fetchall()}


def _lane(line: bytes) -> ParkedLane:
    lane, offsets, setback = line.split(b" ", 2)
    return ParkedLane(
        lane=bytes.fromhex(lane.decode()).decode(),
        # SQLite promises no order inside an aggregate.
        offsets=tuple(sorted(_numbers(offsets))),
        setback=decode_setback(setback),
    )


def _numbers(text: bytes) -> Iterator[int]:
    return map(int, filter(None, text.split(b",")))
