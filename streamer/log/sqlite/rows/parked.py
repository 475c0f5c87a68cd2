"""What subscribers have parked, as rows.

The body of an event is written once, when it is parked; a retry writes its
lane's setback and nothing else. An event is known by its offset.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import Entry, ParkedLane, SubscriberName
from streamer.log.records import decode_event, decode_setback, encode_event, encode_setback
from streamer.log.sqlite.database.bulk import delete_rows, insert_rows
from streamer.log.sqlite.database.json_pages import PAGE_ROWS, Bodies, read_bodies
from streamer.log.sqlite.rows.pages import PARTITION
from streamer.ports import LaneChange

_LANES_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class ParkedRows:
    """What some changes of lanes come to; a lane without a setback is forgotten."""

    subscriber: SubscriberName
    joined: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    setbacks: dict[str, bytes | None] = field(default_factory=dict)

    @classmethod
    def of(cls, subscriber: SubscriberName, changes: Sequence[LaneChange]) -> "ParkedRows":
        """Return what `changes`, one after the other, come to."""
        rows = cls(subscriber=subscriber)
        for change in changes:
            rows._add(change)
        return rows

    def write(self, connection: sqlite3.Connection) -> None:
        """Let the changes take effect; a second time changes nothing."""
        mine = (self.subscriber,)
        delete_rows(
            connection, "DELETE FROM parked_events WHERE subscriber = ? AND seq", self.left, parameters=mine
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
                f"DELETE FROM {table} WHERE subscriber = ? AND lane",  # noqa: S608 - one of two names of our own
                forgotten,
                parameters=mine,
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
    """Return some of the parked lanes whose names come after `after`, and the last name among them.

    None are left when none come.
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


def read_parked(
    connection: sqlite3.Connection, subscriber: SubscriberName, offsets: Sequence[int]
) -> tuple[list[Entry], Sequence[int]]:
    """Return some of the parked events at `offsets`, which rise, and the offsets that were not looked at."""
    asked, later = offsets[:PAGE_ROWS], offsets[PAGE_ROWS:]
    wanted = Bodies(
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
    """Return which of the offsets from `begin` to `end` (exclusive) a subscriber has parked."""
    offsets = connection.execute(
        """
        SELECT CAST(coalesce(group_concat(seq), '') AS BLOB) FROM parked_events
        WHERE subscriber = ? AND seq >= ? AND seq < ?
        """,
        (subscriber, begin, end),
    ).fetchone()[0]
    return set(_numbers(offsets))


def count_parked(connection: sqlite3.Connection) -> dict[SubscriberName, int]:
    """Return how many events each subscriber has parked, of those that have any."""
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
