"""Cache of the last known values of large text fields."""

import sys
from collections import OrderedDict

_Place = tuple[str, str]

# A key and its place in the dictionary, in bytes.
_OVERHEAD = 250


class TextCache:
    """Last known texts by record and field, in at most `limit_bytes` of memory.

    The least recently used ones make room for new ones.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._texts: OrderedDict[_Place, str] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Memory that the texts take, in bytes."""
        return self._size

    def get(self, record_id: str, field: str) -> str | None:
        """Return the last known text of a field, or `None`."""
        text = self._texts.get((record_id, field))
        if text is not None:
            self._texts.move_to_end((record_id, field))
        return text

    def put(self, record_id: str, field: str, text: str) -> None:
        """Keep `text` as the last known one of a field, unless it is larger than the limit."""
        self.forget(record_id, field)
        self._texts[record_id, field] = text
        self._size += _size((record_id, field), text)
        while self._size > self._limit:
            place, oldest = self._texts.popitem(last=False)
            self._size -= _size(place, oldest)

    def forget(self, record_id: str, field: str) -> None:
        """Keep no text of a field."""
        text = self._texts.pop((record_id, field), None)
        if text is not None:
            self._size -= _size((record_id, field), text)


def _size(place: _Place, text: str) -> int:
    return sum(map(sys.getsizeof, (*place, text))) + _OVERHEAD
