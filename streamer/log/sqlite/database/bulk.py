"""Bulk inserts and deletes: many rows with few statements.

A thread that steps through a statement row by row releases the interpreter at
each row, and gets it back only milliseconds later when the loop is busy.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

_ROWS_AT_ONCE = 1_000
# SQLite before 3.32 takes fewer.
_PARAMETERS = 999 if sqlite3.sqlite_version_info < (3, 32) else 32_766


def insert_rows(
    connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[Any, ...]], *, conflict: str = ""
) -> None:
    """Run the statement `insert`, without its values, for all `rows`, which have one width.

    `conflict` is the clause after the values.
    """
    if not rows:
        return
    width = len(rows[0])
    placeholders = f"({','.join('?' * width)})"
    for batch in _batches(rows, min(_ROWS_AT_ONCE, _PARAMETERS // width)):
        values = ",".join([placeholders] * len(batch))
        connection.execute(f"{insert} VALUES {values} {conflict}", tuple(chain.from_iterable(batch)))


def delete_rows(
    connection: sqlite3.Connection,
    delete: str,
    keys: Iterable[Any],
    *,
    parameters: Sequence[Any] = (),
) -> None:
    """Run the statement `delete`, which ends with a column, for all `keys` of that column.

    `parameters` belong to the statement itself.
    """
    for batch in _batches(keys, min(_ROWS_AT_ONCE, _PARAMETERS - len(parameters))):
        connection.execute(f"{delete} IN ({','.join('?' * len(batch))})", (*parameters, *batch))


def _batches(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch
