"""CSV of jobs: their results, and the rows that clients upload.

In results, every value is in quotes, and an empty value is a pair of quotes (Bulk API
2.0 guide, results of a query job). Numbers with decimals have the form that Java
writes, as observed in orgs: `5.0`, and from ten million on `1.6147805824397E13`.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

DELIMITERS = {
    "BACKQUOTE": "`",
    "CARET": "^",
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_CHUNK_ROWS = 500
_PLAIN_FROM, _PLAIN_BELOW = 1e-3, 1e7


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """The format that a job requests, with the names of Salesforce's API."""

    delimiter: str = "COMMA"
    line_ending: str = "LF"

    def chunks(self, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[bytes]:
        """Iterate over the encoded lines of a header and its rows; a chunk has several hundred lines."""
        between, end = DELIMITERS[self.delimiter], LINE_ENDINGS[self.line_ending]
        lines = [between.join(map(_quoted, names))]
        for row in rows:
            lines.append(between.join(map(_cell, row)))
            if len(lines) >= _CHUNK_ROWS:
                yield _encoded(lines, end)
                lines = []
        if lines:
            yield _encoded(lines, end)

    def read(self, content: bytes) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Return the header and the rows of a CSV; raises `ValueError` for an unreadable CSV."""
        text = content.decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[self.delimiter], strict=True)
        try:
            rows = [row for row in lines if row]
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if not rows:
            raise ValueError("The CSV has no header")
        return rows[0], rows[1:]


def _encoded(lines: Iterable[str], end: str) -> bytes:
    # A text can contain half of a surrogate pair, which UTF-8 can't encode.
    return "".join(line + end for line in lines).encode(errors="replace")


def _cell(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    return f'"{_scientific(value) if isinstance(value, float) else value}"'


def _quoted(text: str) -> str:
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def _scientific(number: float) -> str:
    """Return a number in the form of Java's `Double.toString`."""
    if number == 0 or _PLAIN_FROM <= abs(number) < _PLAIN_BELOW:
        return repr(number)
    sign, digits, _ = Decimal(repr(number)).normalize().as_tuple()
    whole, *rest = map(str, digits)
    exponent = Decimal(repr(number)).adjusted()
    return f"{'-' if sign else ''}{whole}.{''.join(rest) or '0'}E{exponent}"
