"""Last state of each continuity record."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from streamer.events import Channel, ContinuityRecord, Repair

MOST_RECORDS = 50_000
"""Largest number of records that a listing holds, to bound the memory: the records that changed last."""


class LastStates:
    """The last state of each continuity record that `admits` accepts.

    With `most`, this object keeps only the `most` records that changed last.
    """

    def __init__(self, admits: Callable[[ContinuityRecord], bool], *, most: int | None = None) -> None:
        self._admits = admits
        self._most = most
        self._records: dict[str, ContinuityRecord] = {}

    def apply(self, record: ContinuityRecord) -> None:
        """Apply the next state of a record; states must come in the order in which they were written."""
        former = self._records.pop(record.id, None)
        if former is not None:
            record = replace(record, recorded_at=former.recorded_at)
        if not self._admits(record):
            return
        self._records[record.id] = record
        if self._most is not None and len(self._records) > self._most:
            del self._records[next(iter(self._records))]

    def forget(self, record_id: str) -> None:
        """Forget a record that was removed from the log."""
        self._records.pop(record_id, None)

    def oldest_first(self) -> Sequence[ContinuityRecord]:
        """Return the records, sorted by the time at which each was first recorded."""
        return sorted(self._records.values(), key=lambda record: record.recorded_at)


def last_states(
    records: Iterable[ContinuityRecord], admits: Callable[[ContinuityRecord], bool]
) -> Sequence[ContinuityRecord]:
    """Return the last states in `records` that `admits` accepts, oldest first."""
    states = LastStates(admits)
    for record in records:
        states.apply(record)
    return states.oldest_first()


def is_open_in(channel: Channel) -> Callable[[ContinuityRecord], bool]:
    """Return a predicate that accepts the open records of `channel`."""
    return lambda record: record.state is Repair.OPEN and record.channel == channel


def has_id_in(ids: Collection[str]) -> Callable[[ContinuityRecord], bool]:
    """Return a predicate that accepts the records with one of `ids`."""
    wanted = frozenset(ids)
    return lambda record: record.id in wanted


def by_id(records: Iterable[ContinuityRecord]) -> Mapping[str, ContinuityRecord]:
    """Return a mapping from the id of each record in `records` to the record."""
    return {record.id: record for record in records}
