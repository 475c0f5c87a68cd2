"""Files that settings name: their paths, and tables in CSV."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streamer import regular_files
from streamer.configuration.document import Keys

_OF_A_FILE = "_file"
_SEPARATORS = (",", ";", "\t")
_MOST_ROWS = 200_000
_LEAST_COLUMNS = 2


def named_files(model: BaseModel, at: Keys = ()) -> Iterator[tuple[Keys, Path]]:
    """Yield each path in `model` at a key that ends with `_file`, with its keys below `at`."""
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from named_files(value, (*at, name))
        elif isinstance(value, Path) and name.endswith(_OF_A_FILE):
            yield (*at, name), value


def unfit_files(model: BaseModel, at: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield the keys and a sentence for each path that is not a regular file of normal size.

    A missing file is not reported here, because Streamer itself creates some of the
    files.
    """
    for keys, path in named_files(model, at):
        try:
            regular_files.check(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield keys, f"{path} can't be used: {error.strerror}"


class TableRefused(ValueError):
    """A table is unreadable; the message describes the mistake in `line`."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


def table_of_csv(text: str) -> dict[str, Any]:
    """Return the values by key of a CSV table. The first line names the columns.

    The first column is the key. With two columns, the second column is the value;
    with more columns, the value is an object. Columns are separated by commas, or
    by semicolons or tabs if the first line has no comma. Raises `TableRefused`.
    """
    head = text.partition("\n")[0]
    separator = next((each for each in _SEPARATORS if each in head), _SEPARATORS[0])
    # Rows are not lines, because a quoted value can span lines.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return _table_of_rows(_table_rows(reader))
    except csv.Error as error:
        raise TableRefused(f"is not CSV: {error}", line=max(1, reader.line_num)) from None


def _table_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the number of the row's last line."""
    for row in reader:
        if row:
            yield reader.line_num, row


def _table_of_rows(rows: Iterator[tuple[int, list[str]]]) -> dict[str, Any]:
    _, columns = next(rows, (1, []))
    if len(columns) < _LEAST_COLUMNS:
        raise TableRefused("must begin with a line that names at least two columns", line=1)
    table: dict[str, Any] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise TableRefused(f"has {len(row)} columns, but the first line names {len(columns)}", line=line)
        if row[0] in table:
            raise TableRefused(f"the key {row[0][:60]!r} appears twice", line=line)
        if len(table) == _MOST_ROWS:
            raise TableRefused(f"has more than {_MOST_ROWS:,} rows", line=line)
        table[row[0]] = (
            row[1] if len(columns) == _LEAST_COLUMNS else dict(zip(columns[1:], row[1:], strict=True))
        )
    return table
