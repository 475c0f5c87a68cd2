"""Lists of items that fit into one request."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


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
