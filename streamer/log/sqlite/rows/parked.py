"""Rows of parked lanes and of dead letters.

The body of an event is written once, when the event is parked. A retry writes only
the setback of its lane. The offset identifies an event.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Entry, LetterHead, ParkedLane, SubscriberName
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import (
    decode_dead_letter,
    decode_event,
    decode_letter_head,
    decode_setback,
    encode_dead_letter,
    encode_event,
    encode_setback,
)
from streamer.log.sqlite.database.json_pages import PAGE_ROWS, BodyQuery, read_bodies
from streamer.log.sqlite.database.worker import delete_rows, insert_rows
from streamer.log.sqlite.rows.offsets import PARTITION, sound
from streamer.ports import LaneChange

_LANES_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class ParkedRows:
    """Rows that result from changes of lanes; a lane without a setback is removed."""

    subscriber: SubscriberName
    joined: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    setbacks: dict[str, bytes | None] = field(default_factory=dict)

    @classmethod
    def of(cls, subscriber: SubscriberName, changes: Sequence[LaneChange]) -> "ParkedRows":
        """Return the rows that result from all `changes`, applied in order."""
        rows = cls(subscriber=subscriber)
        for change in changes:
            rows._add(change)
        return rows

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the rows; writing the same rows twice has the same effect as writing them once."""
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
    """Return a page of the parked lanes with names after `after`, and the last name of the page.

    An empty page means that no more lanes exist.
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
    """Return the parked lane with this name of a subscriber, or `None`."""
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
    """Return some of the parked events at `offsets`, and the offsets not read yet; `offsets` must rise."""
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
    """Return the number of parked events of each subscriber that has parked events."""
    rows = connection.execute("SELECT subscriber, count(*) FROM parked_events GROUP BY subscriber")
    return {SubscriberName(name): count for name, count in rows.fetchall()}


def _lane(line: bytes) -> ParkedLane:
    lane, offsets, setback = line.split(b" ", 2)
    return ParkedLane(
        lane=bytes.fromhex(lane.decode()).decode(),
        # The offsets are sorted here, because SQLite promises no order inside an aggregate.
        offsets=tuple(sorted(_numbers(offsets))),
        setback=decode_setback(setback),
    )


def _numbers(text: bytes) -> Iterator[int]:
    return map(int, filter(None, text.split(b",")))


LetterRow = tuple[str, float, bytes, bytes]


def letter_rows(letters: Iterable[DeadLetter]) -> list[LetterRow]:
    """Return dead letters as rows."""
    return [(letter_key(letter.id), letter.failed_at, *encode_dead_letter(letter)) for letter in letters]


def letter_key(id_: str) -> str:
    """Return the id of a dead letter in the form that the table has."""
    return id_.encode("utf-8", "backslashreplace").decode()


def write_letters(connection: sqlite3.Connection, rows: Sequence[LetterRow]) -> None:
    """Write dead letters; a dead letter with a known id replaces the earlier dead letter in its row."""
    insert_rows(
        connection,
        "INSERT INTO dead_letters (id, failed_at, body, head)",
        rows,
        conflict="ON CONFLICT (id) DO UPDATE SET "
        "failed_at = excluded.failed_at, body = excluded.body, head = excluded.head",
    )


def remove_letters(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Remove dead letters; unknown ids are ignored."""
    delete_rows(connection, "DELETE FROM dead_letters WHERE id", keys)


def last_letter(connection: sqlite3.Connection) -> int:
    """Return the number of the newest dead letter; later dead letters get higher numbers."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM dead_letters").fetchone()[0])


def count_letters(connection: sqlite3.Connection) -> int:
    """Return the number of dead letters."""
    return int(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])


def read_heads(
    connection: sqlite3.Connection, after: int, last: int, foreign: ForeignRecords
) -> tuple[list[LetterHead], int]:
    """Return a page of heads of dead letters, and the highest number of the page.

    The page has dead letters with numbers above `after`, up to `last`. The function
    reads no bodies. An empty page means that no more dead letters exist.
    """
    wanted = BodyQuery(
        table="dead_letters", column="head", where="seq > ? AND seq <= ?", parameters=(after, last)
    )
    rows = read_bodies(connection, wanted).rows
    heads = list(sound(rows, decode_letter_head, "dead_letters", foreign))
    return heads, rows[-1][0] if rows else last


def read_letters(
    connection: sqlite3.Connection, keys: Sequence[str], after: int, foreign: ForeignRecords
) -> tuple[list[DeadLetter], int | None]:
    """Return a page of the dead letters that have one of `keys` and a number above `after`.

    The second result is the highest number of the page, or `None` if no more dead
    letters follow. `keys` has at most `PAGE_ROWS` keys.
    """
    wanted = BodyQuery(
        table="dead_letters", where=f"seq > ? AND id {_among(keys)}", parameters=(after, *keys)
    )
    page = read_bodies(connection, wanted)
    letters = list(sound(page.rows, decode_dead_letter, "dead_letters", foreign))
    return letters, None if page.is_whole else page.rows[-1][0]


def kept_letters(connection: sqlite3.Connection, keys: Sequence[str]) -> frozenset[str]:
    """Return the keys in `keys` that belong to dead letters; `keys` has at most `PAGE_ROWS` keys."""
    rows = connection.execute(f"SELECT id FROM dead_letters WHERE id {_among(keys)}", keys)  # noqa: S608 - only placeholders
    return frozenset(id_ for (id_,) in rows)


def _among(keys: Sequence[str]) -> str:
    return f"IN ({','.join('?' * len(keys))})"
