"""Records in Streamer's own part of the log that Streamer did not write."""

import threading
from collections import Counter
from collections.abc import Mapping

from streamer.later import LaterLogger

_log = LaterLogger()

# Beyond this number, a place can be told again.
_MOST_PLACES = 10_000
_HINT = (
    "let only Streamer write there, and remove the record by a tombstone of its key, if no record of "
    "Streamer's own has this key"
)


class ForeignRecords:
    """Places of the records that readers have left out; each place is logged once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def set_aside(self, where: str, place: str, reason: object) -> None:
        """Note the record at `place`, which is in the topic or table `where`, and tell it once."""
        with self._lock:
            if place in self._places:
                return
            self._places[place] = None
            if len(self._places) > _MOST_PLACES:
                del self._places[next(iter(self._places))]
            self._counts[where] += 1
        _log.error("record.set_aside", place=place, reason=str(reason), hint=_HINT)

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of records that were left out, by topic or table."""
        with self._lock:
            return dict(self._counts)

    @property
    def places(self) -> list[str]:
        """Places of the last records that were left out."""
        with self._lock:
            return list(self._places)
