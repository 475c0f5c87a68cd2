"""SOQL texts that read the records of a `RecordQuery`, and the sizes of pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from streamer.ports import RecordQuery

# A request's address and headers may have 16,384 bytes together (REST API guide, status codes). The limit
# here is lower, to leave room for the host name and the access token.
_LONGEST_QUOTED = 12_000
_OF_PAGE = 120
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)


def is_id(value: Any) -> bool:
    """Return whether `value` looks like a Salesforce id; such an id needs no escapes in a query."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def count_of(query: RecordQuery) -> str:
    """Return the query that counts the records of `query`."""
    return " ".join(["SELECT COUNT()", *_source(query)])


def whole_of(query: RecordQuery) -> str:
    """Return the query for all records.

    The query has no ORDER BY, so that Salesforce can split it into chunks.
    """
    return " ".join([f"SELECT {', '.join(query.fields)}", *_source(query)])


def page_of(query: RecordQuery, after: str | None, rows: int) -> str:
    """Return the query for the records that follow the id `after`, in the order of their ids."""
    beyond = f"Id > '{after}'" if after is not None else ""
    return " ".join(
        [
            f"SELECT {', '.join(query.fields)}",
            *_source(query, beyond),
            f"ORDER BY Id LIMIT {rows}",
        ]
    )


def fits_address(soql: str, *, spare: int = 0) -> bool:
    """Return whether a GET can hold `soql` and `spare` more bytes."""
    return len(quote_plus(soql)) + spare <= _LONGEST_QUOTED


def pages_fit(query: RecordQuery) -> bool:
    """Return whether a GET can hold the query of each page."""
    return fits_address(whole_of(query), spare=_OF_PAGE)


def _source(query: RecordQuery, beyond: str = "") -> Iterator[str]:
    yield f"FROM {query.entity}"
    conditions = [each for each in (f"({query.where})" if query.where else "", beyond) if each]
    if conditions:
        yield f"WHERE {' AND '.join(conditions)}"


PAGE_BYTES = 8 * 1024 * 1024
"""Largest number of bytes of the answer with one page."""
# In memory, each cell takes about a hundred bytes, however short its text is.
_PAGE_CELLS = 200_000
_QUERIES = 256


@dataclass(slots=True)
class PageSizes:
    """Number of rows to request per query, so that one page stays within `PAGE_BYTES`.

    After a page that is too large or too slow, half of its rows are requested.
    From then on, the number grows slowly.
    """

    _rows: dict[RecordQuery, int] = field(default_factory=dict)

    def rows(self, query: RecordQuery, most: int) -> int:
        """Return the number of rows to request, at most `most`."""
        by_cells = max(1, _PAGE_CELLS // len(query.fields))
        return max(1, min(most, by_cells, self._rows.get(query, most)))

    def was_too_large(self, query: RecordQuery, rows: int) -> None:
        """Request half of `rows` next time."""
        if len(self._rows) >= _QUERIES:
            self._rows.clear()
        self._rows[query] = max(1, rows // 2)

    def was_read(self, query: RecordQuery) -> None:
        """Request a few more rows next time, if a limit is set for this query."""
        if query in self._rows:
            self._rows[query] += self._rows[query] // 8 + 1
