"""Open readings of one channel, their order, and the rules for lost jobs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from streamer.clock import CLOCKS_DIFFER_S
from streamer.continuity.progress import ReadingProgress
from streamer.errors import RecordsRefused, SalesforceUnavailable
from streamer.events import ContinuityRecord, HoleCause


@dataclass(slots=True)
class OpenReadings:
    """Open readings by the ids of their holes, oldest first.

    While one reading waits, later readings can continue. An overflow waits until the
    earlier readings of its entity have ended, so that one reading can repair several
    overflows. A reading can hold other readings, which end together with the holding
    reading. `broken` are readings in the log with unreadable progress.
    """

    holes: dict[str, ContinuityRecord] = field(default_factory=dict)
    broken: list[ContinuityRecord] = field(default_factory=list)
    _progress: dict[str, ReadingProgress] = field(default_factory=dict)
    _due_at: dict[str, float] = field(default_factory=dict)
    _held: dict[str, Sequence[str]] = field(default_factory=dict)

    def put(self, hole: ContinuityRecord) -> None:
        """Add a new reading, or the new state of a reading. Raises `ValueError` for invalid progress."""
        self._progress[hole.id] = ReadingProgress.of(hole.progress)
        self.holes[hole.id] = hole

    def remove(self, hole_id: str) -> None:
        """Remove a reading; the readings that the removed reading held continue separately."""
        for known in (self.holes, self._progress, self._due_at, self._held):
            known.pop(hole_id, None)

    def progress(self, hole_id: str) -> ReadingProgress:
        """Return the progress of an open reading."""
        return self._progress[hole_id]

    def wait(self, hole_id: str, due_at: float) -> None:
        """Make a reading wait until `due_at`, in monotonic seconds."""
        self._due_at[hole_id] = due_at

    def due_at(self, hole_id: str) -> float:
        """Return the time at which a reading can continue, in monotonic seconds."""
        return self._due_at.get(hole_id, 0.0)

    def next(self, now: float, is_paused: Callable[[ContinuityRecord], bool]) -> ContinuityRecord | None:
        """Return the oldest reading that can continue `now`, or else the reading that is due earliest."""
        entities: set[str] = set()
        waiting: list[ContinuityRecord] = []
        held = {each for some in self._held.values() for each in some}
        for hole in self.holes.values():
            if hole.id in held or is_paused(hole):
                continue
            progress = self._progress[hole.id]
            if hole.cause is HoleCause.OVERFLOW and progress.is_untouched and progress.entities <= entities:
                continue
            if self.due_at(hole.id) <= now:
                return hole
            waiting.append(hole)
            entities |= progress.entities
        return min(waiting, key=lambda hole: self.due_at(hole.id), default=None)

    def hold(self, hole_id: str) -> None:
        """Make a new reading hold the overflows that it also repairs.

        This also extends the reading to the latest time of these overflows.
        """
        held = [each for each in self._repaired_with(hole_id) if each != hole_id]
        self._held[hole_id] = held
        until = max(self._progress[each].until or 0.0 for each in [hole_id, *held])
        self._progress[hole_id] = replace(self._progress[hole_id], until=until)

    def held_by(self, hole_id: str) -> Sequence[ContinuityRecord]:
        """Return the readings that end with the reading `hole_id`."""
        return [self.holes[each] for each in self._held.get(hole_id, ()) if each in self.holes]

    def _repaired_with(self, hole_id: str) -> Iterator[str]:
        """Yield the overflows whose changes a reading's job finds, because the job began after them."""
        begun = self._progress[hole_id]
        reads = begun.part
        if begun.parts is None or len(begun.parts) > 1 or reads is None or reads.since is None or reads.where:
            return
        asked_at = (begun.reached.anchor or 0.0) + CLOCKS_DIFFER_S
        for hole in self.holes.values():
            waiting = self._progress[hole.id]
            part = waiting.part
            if (
                hole.cause is HoleCause.OVERFLOW
                and waiting.is_untouched
                and part is not None
                and part.entity == reads.entity
                and part.since is not None
                and part.since >= reads.since
                and hole.recorded_at <= asked_at
            ):
                yield hole.id


_MOST_JOBS = 8
# Limit for jobs that are refused for their contents, for example because a field was removed.
_MOST_REFUSED = 3
# After a deleted job, no pause is needed; an overload of the org can last for hours.
_PAUSES_S = (0.0, 60.0, 240.0, 960.0, 3_600.0)
_MOST_IN_BULK = 2
TOO_LONG = "QUERY_TIMEOUT"
"""Salesforce's code for a query that takes too long."""
_BUSY = frozenset(
    {TOO_LONG, "REQUEST_RUNNING_TOO_LONG", "UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE"}
)
# Codes of a job that failed, was aborted, or no longer exists.
_LOST = frozenset({"Failed", "Aborted", "NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_QUERY_LOCATOR"})


def can_begin_again(progress: ReadingProgress, error: RecordsRefused) -> bool:
    """Return whether another job can read the remaining records after an `error` of the last job."""
    return progress.reached.jobs < (_MOST_JOBS if error.code in _BUSY | _LOST else _MOST_REFUSED)


def pause_after_loss_s(jobs: int) -> float:
    """Return the pause in seconds after a part has lost its `jobs`-th job."""
    return _PAUSES_S[min(jobs, len(_PAUSES_S)) - 1] if jobs else 0.0


def pause_left_s(progress: ReadingProgress, now: float) -> float:
    """Return the remaining pause in seconds after a lost job, which another process can have begun."""
    reached = progress.reached
    if reached.job is not None or not reached.jobs or reached.anchor is None:
        return 0.0
    return min(max(0.0, reached.anchor + pause_after_loss_s(reached.jobs) - now), _PAUSES_S[-1])


def may_be_in_bulk(progress: ReadingProgress) -> bool:
    """Return false after several lost Bulk API jobs; REST pages can't be lost, and can become smaller."""
    return progress.reached.jobs < _MOST_IN_BULK


@contextmanager
def refusals_can_pass() -> Iterator[None]:
    """Turn a transient refusal of a request outside of jobs into `SalesforceUnavailable`."""
    try:
        yield
    except RecordsRefused as error:
        if error.code not in _BUSY:
            raise
        raise SalesforceUnavailable(str(error)) from error
