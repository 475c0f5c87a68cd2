"""Memory of the local copies of state topics: rows that their files lack, and states."""

from collections.abc import Iterable
from dataclasses import dataclass

from streamer.events import RecordState
from streamer.log.kafka.records.states import StateRow

_TOTAL_BYTES = 16 * 1024 * 1024
_OVERHEAD_BYTES = 200


@dataclass(slots=True)
class CopyMemory:
    """Memory that the `copies` of one process share in equal parts."""

    copies: int = 0

    @property
    def part(self) -> int:
        """Bytes of rows for one copy."""
        return _TOTAL_BYTES // max(1, self.copies)


class UnsavedRows:
    """Rows that the file of a copy lacks, the last one of each record; `size` is in bytes."""

    def __init__(self) -> None:
        self._rows: dict[str, StateRow] = {}
        self.size = 0

    def add(self, rows: Iterable[StateRow]) -> None:
        """Add newer rows."""
        for row in rows:
            former = self._rows.get(row.record_id)
            self.size += size_of(row) - (0 if former is None else size_of(former))
            self._rows[row.record_id] = row

    def get(self, record_id: str) -> StateRow | None:
        """Return the row of a record, if the file lacks it."""
        return self._rows.get(record_id)

    def sorted(self) -> list[StateRow]:
        """Return all rows in the order in which a file has them."""
        return sorted(self._rows.values())

    def clear(self) -> None:
        """Forget all rows."""
        self._rows.clear()
        self.size = 0


class RecentStates:
    """States of the records that this process has written last, so that they need not be decoded again."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[RecordState, int]] = {}
        self._size = 0

    def put(self, state: RecordState, size: int, limit: int) -> None:
        """Add a state with a row of `size` bytes; the oldest states are forgotten above the `limit`."""
        self.forget(state.record_id)
        self._states[state.record_id] = state, size
        self._size += size
        while self._size > limit:
            self.forget(next(iter(self._states)))

    def get(self, record_id: str) -> RecordState | None:
        """Return the state of a record, if it is known here."""
        found = self._states.get(record_id)
        return None if found is None else found[0]

    def forget(self, record_id: str) -> None:
        """Forget the state of a record."""
        if (former := self._states.pop(record_id, None)) is not None:
            self._size -= former[1]

    def clear(self) -> None:
        """Forget all states."""
        self._states.clear()
        self._size = 0


def size_of(row: StateRow) -> int:
    """Return about how many bytes of memory a row takes."""
    return len(row.value or b"") + len(row.last) + _OVERHEAD_BYTES
