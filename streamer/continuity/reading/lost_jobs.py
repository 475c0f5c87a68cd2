"""Rules for a job that is lost: when the next one begins, and when there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamer.continuity.progress import ReadingProgress
from streamer.errors import RecordsRefused, SalesforceUnavailable

_MOST_JOBS = 8
# Of those that Salesforce refuses for their contents: a field can be gone meanwhile.
_MOST_REFUSED = 3
# One that was deleted needs no pause; what overloads the org takes hours to pass.
_PAUSES_S = (0.0, 60.0, 240.0, 960.0, 3_600.0)
_MOST_IN_BULK = 2

TOO_LONG = "QUERY_TIMEOUT"
"""Salesforce's code for a query that takes too long."""

_BUSY = frozenset(
    {TOO_LONG, "REQUEST_RUNNING_TOO_LONG", "UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE"}
)
# Of a job that has failed, was aborted, or is gone.
_LOST = frozenset({"Failed", "Aborted", "NOT_FOUND", "ENTITY_IS_DELETED", "INVALID_QUERY_LOCATOR"})


def can_begin_again(progress: ReadingProgress, error: RecordsRefused) -> bool:
    """Return whether another job can read what is left, after an `error` of the last one."""
    return progress.jobs < (_MOST_JOBS if error.code in _BUSY | _LOST else _MOST_REFUSED)


def pause_s(jobs: int) -> float:
    """Return the pause after the loss of the last of so many jobs of a part."""
    return _PAUSES_S[min(jobs, len(_PAUSES_S)) - 1] if jobs else 0.0


def pause_left_s(progress: ReadingProgress, now: float) -> float:
    """Return what is left `now` of the pause after a lost job, also in another process."""
    if progress.job is not None or not progress.jobs or progress.anchor is None:
        return 0.0
    return min(max(0.0, progress.anchor + pause_s(progress.jobs) - now), _PAUSES_S[-1])


def may_be_in_bulk(progress: ReadingProgress) -> bool:
    """Return false once jobs of the Bulk API were lost; pages over REST can't be, and become smaller."""
    return progress.jobs < _MOST_IN_BULK


@contextmanager
def passing() -> Iterator[None]:
    """Raise `SalesforceUnavailable` for a refusal that can pass, of what is asked for beside a job."""
    try:
        yield
    except RecordsRefused as error:
        if error.code not in _BUSY:
            raise
        raise SalesforceUnavailable(str(error)) from error
