"""Bodies of requests: exact JSON, and lists of items that fit into one request."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import orjson

_Item = TypeVar("_Item")


def exact_json(value: Any) -> bytes:
    """Return `value` as JSON, a `Decimal` with all of its digits; raises `TypeError` for what is no JSON."""
    return orjson.dumps(value, default=_exact)


def in_requests(items: Iterable[tuple[int, _Item]], *, most: int, most_bytes: int) -> Iterator[list[_Item]]:
    """Yield the items, each given with its size in bytes, in lists that fit into a request."""
    request: list[_Item] = []
    filled = 0
    for size, item in items:
        if request and (len(request) == most or filled + size > most_bytes):
            yield request
            request, filled = [], 0
        request.append(item)
        filled += size
    if request:
        yield request


def _exact(value: Any) -> Any:
    # orjson knows no decimals.
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} is no JSON")
