"""Dirty records: their states lack a change, so updates wait until the whole record has been read.

Salesforce describes the procedure for gap events (Change Data Capture guide, other
types of events): mark the record dirty, ignore its events, and read the record.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.events import ContinuityRecord, Partition, RecordState, Repair

RecordKey = tuple[str, str]
"""Entity and record id."""

# If no row has arrived by then, the org may be away, or the user may not see the record.
_READ_WITHIN_S = 600.0
# When a hole ends, its rows are in the log, and are read within this time unless the keeper is behind.
_ROWS_WITHIN_S = 5.0
_MOST_ORDERS = 3
_REPAIRED = frozenset({Repair.FULL, Repair.PARTIAL})


# The clocks of Streamer and Salesforce can differ by this much.
_SKEW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """Changes of an object's records that were lost until `until`, in epoch seconds of Streamer's clock.

    `holes` are the ids of the continuity records whose end shows that all lost changes
    are in the log again. A loss `of_channel` is known from a continuity record, which also
    another process finds.
    """

    until: float
    holes: frozenset[str]
    of_channel: bool


@dataclass(slots=True, kw_only=True)
class _Asked:
    """Dirty record: when its row was asked for, how often, and whether an update waits for the row.

    `by_repair` is true if the repair of a hole can bring the row. `partition` has the
    record's changes; it is `None` until one of them was read.
    """

    at: float
    orders: int = 0
    is_missed: bool = False
    by_repair: bool = False
    partition: Partition | None = None


@dataclass(slots=True, kw_only=True)
class DirtyRecords:
    """Records that must be read again before an update changes their states.

    Only the process that reads a record's changes asks for its row.
    """

    clock: Clock
    _asked: dict[RecordKey, _Asked] = field(default_factory=dict, init=False)
    _losses: dict[str, list[_Loss]] = field(default_factory=dict, init=False)
    _ended: frozenset[str] = field(default=frozenset(), init=False)
    _read: set[Partition] = field(default_factory=set, init=False)

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

    def reopen(self) -> None:
        """Note that this process reads no partition until `assign`."""
        self._read.clear()

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Note that this process reads these partitions from now on."""
        self._read.update(partitions)

    def revoke(self, partitions: Collection[Partition]) -> None:
        """Forget the records of these partitions, which another process reads from now on."""
        self._read.difference_update(partitions)
        self._asked = {key: asked for key, asked in self._asked.items() if asked.partition not in partitions}

    def locate(self, key: RecordKey, partition: Partition) -> None:
        """Note the partition that has the changes of a record."""
        if (asked := self._asked.get(key)) is not None:
            asked.partition = partition

    def overdue(self) -> list[RecordKey]:
        """Return the records whose updates have waited too long, and forget those that never arrive.

        A record never arrives if the user can't see it, or if it is gone for good.
        """
        late = [key for key, asked in self._asked.items() if self._is_awaited(asked) and self._is_late(asked)]
        for key in late:
            if self._asked[key].orders >= _MOST_ORDERS:
                del self._asked[key]
        return [key for key in late if key in self._asked]

    def must_be_asked_for(self, key: RecordKey, state: RecordState | None) -> bool:
        """Note that an update waits for the row; return true unless the row is on its way.

        The repair of a hole in a channel reads all records that have changed since the hole's
        beginning.
        """
        if key not in self._asked and any(map(self._brings_rows, self._lacking(key[0], state))):
            self._asked[key] = _Asked(at=self.clock.monotonic(), by_repair=True)
        asked = self._asked.get(key)
        if asked is not None:
            asked.is_missed = True
        return asked is None or self._is_late(asked)

    def lose(self, entity: str, until: float, holes: Collection[str], *, of_channel: bool = False) -> None:
        """Note that changes of an entity's records were lost until a time, in epoch seconds."""
        loss = _Loss(until=until, holes=frozenset(holes), of_channel=of_channel)
        losses = self._losses.setdefault(entity, [])
        if loss not in losses:
            losses.append(loss)
            # The rows of this loss may still be missing when the hole ends.
            self._ended -= loss.holes

    def replaced(self, hole: str) -> None:
        """Note that nobody repairs a hole; another loss stands for its changes."""
        for entity, losses in self._losses.items():
            self._losses[entity] = [loss for loss in losses if hole not in loss.holes]

    def clean(self, key: RecordKey) -> None:
        """Note that the whole record, or its deletion, has arrived."""
        self._asked.pop(key, None)

    def includes(self, key: RecordKey, state: RecordState | None) -> bool:
        """Return true if the record's `state` can lack a change."""
        return key in self._asked or bool(self._lacking(key[0], state))

    @property
    def holes(self) -> frozenset[str]:
        """Ids of the continuity records that describe losses, without those that have ended."""
        found = frozenset().union(*(loss.holes for losses in self._losses.values() for loss in losses))
        return found - self._ended

    @property
    def is_awaited(self) -> bool:
        """True if an update waits for a row."""
        return any(map(self._is_awaited, self._asked.values()))

    def ended(self, known: Mapping[str, ContinuityRecord]) -> None:
        """Note the states of the `holes`; losses end when their rows were read as well (`caught_up`).

        A hole can have the state `NONE` before its repair begins.
        """
        ended = {name for name, record in known.items() if record.state in _REPAIRED}
        if not ended:
            return
        self._ended |= ended
        for key, asked in self._asked.items():
            if asked.by_repair and not self._is_being_repaired(key[0]):
                # The record can have changed after the repair had read the others.
                asked.at, asked.by_repair = self.clock.monotonic() - _READ_WITHIN_S + _ROWS_WITHIN_S, False

    @property
    def ended_holes(self) -> frozenset[str]:
        """Ids of the holes that have ended, but whose rows the keeper can still have to read."""
        return self._ended

    def caught_up(self, ended: frozenset[str]) -> None:
        """Note that all events in the log were read, and so the rows of the holes that had `ended` before."""
        if not ended:
            return
        for entity, losses in self._losses.items():
            self._losses[entity] = [loss for loss in losses if not loss.holes <= ended & self._ended]
        self._ended -= ended

    def _is_being_repaired(self, entity: str) -> bool:
        return any(map(self._brings_rows, self._losses.get(entity, ())))

    def _brings_rows(self, loss: _Loss) -> bool:
        return loss.of_channel and not loss.holes <= self._ended

    def _lacking(self, entity: str, state: RecordState | None) -> list[_Loss]:
        """Return the losses whose changes a state can lack."""
        losses = self._losses.get(entity)
        if not losses or state is None:
            return []
        moment = _moment(state)
        return [loss for loss in losses if moment <= loss.until]

    def _is_awaited(self, asked: _Asked) -> bool:
        return asked.is_missed and (asked.partition is None or asked.partition in self._read)

    def _is_late(self, asked: _Asked) -> bool:
        return self.clock.monotonic() - asked.at >= _READ_WITHIN_S


def _moment(state: RecordState) -> float:
    """Return a time of Streamer's clock before which the state lacks no change that was in the stream."""
    last = state.last
    if last.read_at is not None:
        return datetime.fromisoformat(last.read_at).timestamp()
    return datetime.fromisoformat(last.time).timestamp() - _SKEW_S
