"""Dirty records: their states lack a change, so updates wait until the whole record has been read.

Salesforce describes the procedure for gap events (Change Data Capture guide, other
types of events): mark the record dirty, ignore its events, and read the record.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.events import ContinuityRecord, RecordState, Repair

RecordKey = tuple[str, str]
"""Entity and record id."""

# If no row has arrived by then, the org may be away, or the user may not see the record.
_READ_WITHIN_S = 600.0
_MOST_ORDERS = 3
_REPAIRED = frozenset({Repair.FULL, Repair.PARTIAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """Changes of an object's records that were lost until `until`, in epoch seconds.

    `holes` are the ids of the continuity records whose end shows that all lost changes
    are in the log again.
    """

    until: float
    holes: frozenset[str]


@dataclass(slots=True, kw_only=True)
class _Asked:
    """Dirty record: when its row was asked for, how often, and whether an update waits for the row."""

    at: float
    orders: int = 0
    is_missed: bool = False


@dataclass(slots=True, kw_only=True)
class DirtyRecords:
    """Records that must be read again before an update changes their states."""

    clock: Clock
    _asked: dict[RecordKey, _Asked] = field(default_factory=dict, init=False)
    _losses: dict[str, list[_Loss]] = field(default_factory=dict, init=False)
    _repaired: bool = field(default=False, init=False)

    def __len__(self) -> int:
        """Return the number of records that are known by id."""
        return len(self._asked)

    def expect(self, key: RecordKey) -> None:
        """Note a record whose row ingest appends without an order."""
        self._asked[key] = _Asked(at=self.clock.monotonic())

    def ordered(self, key: RecordKey) -> None:
        """Note that an order asks for the record's row."""
        asked = self._asked.setdefault(key, _Asked(at=0.0))
        asked.at, asked.orders, asked.is_missed = self.clock.monotonic(), asked.orders + 1, True

    def recall(self, key: RecordKey) -> None:
        """Note a record that another process may have asked for, so that nobody waits for its row here."""
        self._asked.setdefault(key, _Asked(at=self.clock.monotonic() - _READ_WITHIN_S))

    def overdue(self) -> list[RecordKey]:
        """Return the records whose updates have waited too long, and forget those that never arrive.

        A record never arrives if the user can't see it, or if it is gone for good.
        """
        late = [key for key, asked in self._asked.items() if asked.is_missed and self._is_late(asked)]
        for key in late:
            if self._asked[key].orders >= _MOST_ORDERS:
                del self._asked[key]
        return [key for key in late if key in self._asked]

    def must_be_asked_for(self, key: RecordKey) -> bool:
        """Note that an update waits for the row; return true unless somebody has asked for it just now."""
        asked = self._asked.get(key)
        if asked is not None:
            asked.is_missed = True
        return asked is None or self._is_late(asked)

    def lose(self, entity: str, until: float, holes: Collection[str]) -> None:
        """Note that changes of an entity's records were lost until a time, in epoch seconds."""
        loss = _Loss(until=until, holes=frozenset(holes))
        losses = self._losses.setdefault(entity, [])
        if loss not in losses:
            losses.append(loss)
            self._repaired = False

    def clean(self, key: RecordKey) -> None:
        """Note that the whole record, or its deletion, has arrived."""
        self._asked.pop(key, None)

    def includes(self, key: RecordKey, state: RecordState | None) -> bool:
        """Return true if the record's `state` can lack a change."""
        if key in self._asked:
            return True
        losses = self._losses.get(key[0])
        return bool(losses and state and any(_moment(state) <= loss.until for loss in losses))

    @property
    def holes(self) -> frozenset[str]:
        """Ids of the continuity records that describe losses."""
        return frozenset().union(*(loss.holes for losses in self._losses.values() for loss in losses))

    def ended(self, known: Mapping[str, ContinuityRecord]) -> None:
        """Note the states of the `holes`; losses end when their rows were read as well (`caught_up`).

        A hole can have the state `NONE` before its repair begins.
        """
        final = {name for name, record in known.items() if record.state in _REPAIRED}
        self._repaired = bool(self.holes) and self.holes <= final

    def caught_up(self) -> None:
        """Note that all events in the log were read, and so the rows of the holes that had ended before."""
        if self._repaired:
            self._losses.clear()
            self._repaired = False

    def _is_late(self, asked: _Asked) -> bool:
        return self.clock.monotonic() - asked.at >= _READ_WITHIN_S


def _moment(state: RecordState) -> float:
    last = state.last
    return datetime.fromisoformat(last.read_at or last.time).timestamp()
