"""Records in Streamer's own part of the log that Streamer did not write."""

import threading
from collections import Counter
from collections.abc import Mapping

from streamer.later import LaterLogger

_log = LaterLogger()

# Most positions that a process remembers; after more positions, one can be logged twice.
_MOST_PLACES = 10_000
_HINT = (
    "let only Streamer write to this topic or table. If no record that Streamer wrote has the same "
    "key, remove this record (in Kafka: by a tombstone with the key)"
)


class ForeignRecords:
    """Positions of records that readers skipped because Streamer did not write them; thread-safe.

    Each position is logged once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def set_aside(self, where: str, place: str, reason: object) -> None:
        """Count the record at `place` in the topic or table `where`, and log its position once."""
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
        """Number of skipped records, by topic or table."""
        with self._lock:
            return dict(self._counts)

    @property
    def places(self) -> list[str]:
        """Positions of the last skipped records."""
        with self._lock:
            return list(self._places)
