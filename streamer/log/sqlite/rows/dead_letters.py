"""Rows of dead letters."""

import sqlite3
from collections.abc import Iterable, Sequence

from streamer.events import DeadLetter, LetterHead
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import decode_dead_letter, decode_letter_head, encode_dead_letter
from streamer.log.sqlite.database.bulk import delete_rows, insert_rows
from streamer.log.sqlite.database.json_pages import BodyQuery, read_bodies
from streamer.log.sqlite.rows.sound import sound

LetterRow = tuple[str, float, bytes, bytes]


def letter_rows(letters: Iterable[DeadLetter]) -> list[LetterRow]:
    """Return dead letters as rows."""
    return [(letter_key(letter.id), letter.failed_at, *encode_dead_letter(letter)) for letter in letters]


def letter_key(id_: str) -> str:
    """Return the id of a dead letter as the table holds it."""
    return id_.encode("utf-8", "backslashreplace").decode()


def write_letters(connection: sqlite3.Connection, rows: Sequence[LetterRow]) -> None:
    """Add dead letters; one with a known id replaces the earlier one in its row."""
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
    """Return the number of the newest dead letter; later ones get higher numbers."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM dead_letters").fetchone()[0])


def count_letters(connection: sqlite3.Connection) -> int:
    """Return the number of dead letters."""
    return int(connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0])


def read_heads(
    connection: sqlite3.Connection, after: int, last: int, foreign: ForeignRecords
) -> tuple[list[LetterHead], int]:
    """Return some heads of letters numbered above `after` up to `last`, and the highest number among them.

    Bodies are not read. An empty page is the end.
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
    """Return some of the letters with these keys, a page of them at most, that are numbered above `after`.

    Beside them is the highest number among them, or `None` when no others
    follow.
    """
    wanted = BodyQuery(
        table="dead_letters", where=f"seq > ? AND id {_among(keys)}", parameters=(after, *keys)
    )
    page = read_bodies(connection, wanted)
    letters = list(sound(page.rows, decode_dead_letter, "dead_letters", foreign))
    return letters, None if page.is_whole else page.rows[-1][0]


def kept_letters(connection: sqlite3.Connection, keys: Sequence[str]) -> frozenset[str]:
    """Return the `keys` (a page of them at most) that belong to letters."""
    rows = connection.execute(f"SELECT id FROM dead_letters WHERE id {_among(keys)}", keys)  # noqa: S608 - only placeholders
    return frozenset(id_ for (id_,) in rows)


def _among(keys: Sequence[str]) -> str:
    return f"IN ({','.join('?' * len(keys))})"
