"""Sound rows of a table, beside rows that Streamer did not write."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from streamer.errors import ForeignRecord
from streamer.log.foreign_records import ForeignRecords

_Value = TypeVar("_Value")


def sound(
    rows: Iterable[tuple[object, bytes]],
    decode: Callable[[bytes], _Value],
    table: str,
    foreign: ForeignRecords,
) -> Iterator[_Value]:
    """Yield the values of rows of `table`, which are keys and bodies; set aside those that are foreign."""
    for key, body in rows:
        try:
            yield decode(body)
        except ForeignRecord as exc:
            foreign.set_aside(table, f"row {key} of the table {table}", exc)
