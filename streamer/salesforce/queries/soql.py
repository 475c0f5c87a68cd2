"""Texts of the queries that read all records of a `RecordQuery`."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from streamer.ports import RecordQuery

# A request's address and headers have 16,384 bytes together (REST API guide, status codes); the rest is
# for the name of the host and the access token.
_LONGEST_QUOTED = 12_000
_OF_PAGE = 120
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)


def is_id(value: Any) -> bool:
    """Return whether `value` has the form of Salesforce's ids, which needs no escapes anywhere."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def count_of(query: RecordQuery) -> str:
    """Return the query that counts the records."""
    return " ".join(["SELECT COUNT()", *_source(query)])


def whole_of(query: RecordQuery) -> str:
    """Return the query that finds all records; an order would keep Salesforce from chunking it."""
    return " ".join([f"SELECT {', '.join(query.fields)}", *_source(query)])


def page_of(query: RecordQuery, after: str | None, rows: int) -> str:
    """Return the query that finds the records that follow the id `after`, in the order of their ids."""
    beyond = f"Id > '{after}'" if after is not None else ""
    return " ".join(
        [
            f"SELECT {', '.join(query.fields)}",
            *_source(query, beyond),
            f"ORDER BY Id LIMIT {rows}",
        ]
    )


def fits_address(soql: str, *, spare: int = 0) -> bool:
    """Return whether a GET can carry `soql`, and `spare` bytes more."""
    return len(quote_plus(soql)) + spare <= _LONGEST_QUOTED


def pages_fit(query: RecordQuery) -> bool:
    """Return whether GETs can carry the queries of all pages."""
    return fits_address(whole_of(query), spare=_OF_PAGE)


def _source(query: RecordQuery, beyond: str = "") -> Iterator[str]:
    yield f"FROM {query.entity}"
    conditions = [each for each in (f"({query.where})" if query.where else "", beyond) if each]
    if conditions:
        yield f"WHERE {' AND '.join(conditions)}"
