"""Pages of JSON bodies from any table.

SQLite returns a page as one row with a line for each body, because reading row by row
is slow (see `rows/subscribers.py`). The JSON that Streamer writes contains no line
breaks.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PAGE_ROWS = 500
_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyQuery:
    """Query for bodies in the `column` of `table`, with a `where` clause and its `parameters`.

    With `latest`, the query begins with the highest numbers. The query selects at most
    `count` bodies.
    """

    table: str
    where: str
    parameters: Sequence[Any]
    column: str = "body"
    latest: bool = False
    count: int = PAGE_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPage:
    """Bodies with their numbers, in rising order; `is_whole` is true when no selected body is left."""

    rows: Sequence[tuple[int, bytes]]
    is_whole: bool


def read_bodies(connection: sqlite3.Connection, query: BodyQuery) -> BodyPage:
    """Return the first page of a query, limited in rows and bytes; a page has at least one body."""
    order = "seq DESC" if query.latest else "seq"
    count = min(query.count, PAGE_ROWS)
    statement = f"""
        WITH found AS (
          SELECT rowid AS place, seq, length({query.column}) AS size FROM {query.table}
          WHERE {query.where} ORDER BY {order} LIMIT ?
        ), summed AS (
          SELECT place, size, sum(size) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS through FROM found
        )
        SELECT (SELECT count(*) FROM found),
          CAST(group_concat(seq || ' ' || {query.column}, char(10)) AS BLOB)
        FROM summed CROSS JOIN {query.table} AS kept ON kept.rowid = summed.place
        WHERE through - size < ?
        """  # noqa: S608 - the names are our own
    found, lines = connection.execute(statement, (*query.parameters, count, _PAGE_BYTES)).fetchone()
    rows = sorted(map(_row, lines.split(b"\n"))) if lines else []
    return BodyPage(rows=rows, is_whole=len(rows) == found < PAGE_ROWS)


def _row(line: bytes) -> tuple[int, bytes]:
    seq, _, body = line.partition(b" ")
    return int(seq), body
