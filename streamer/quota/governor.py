"""Governor of repairs: keeps a share of the org's requests and jobs for others."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from streamer.quota.costs import ONE_REQUEST, JobCost
from streamer.quota.limits import KEPT_SHARE, Limit, LimitsReading, OrgLimit

_NO_REQUESTS = "of the org's daily requests"
_NO_JOBS = "of the org's daily Bulk query jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Governor:
    """Says whether a repair can make its next calls now.

    A fifth of the daily requests and of the Bulk query jobs stays for others.
    `reading` returns the latest limits, and `requests_left` the share of the
    requests that the last answer of the REST API gave, which is fresher.
    `untold_jobs` returns how many jobs were begun that a reading need not count.
    Unknown limits hold nothing up: Salesforce then refuses the calls themselves.
    Other requests to the org renew both, at the latest by the next reading of the
    limits, so a repair that waits needs no calls to find out.
    """

    reading: Callable[[], LimitsReading | None]
    requests_left: Callable[[], float | None]
    untold_jobs: Callable[[LimitsReading], int] = lambda _: 0

    @property
    def has_bulk_jobs(self) -> bool:
        """False for an org whose limits allow no Bulk query job at all."""
        reading = self.reading()
        jobs = reading.limits.get(OrgLimit.BULK_QUERY_JOBS) if reading else None
        return jobs is None or jobs.most > 0

    def reason_to_wait(self, cost: JobCost = ONE_REQUEST) -> str:
        """Return why the calls of `cost` have to wait, as a part of a sentence, or an empty text."""
        reading = self.reading()
        limits = reading.limits if reading else {}
        requests = limits.get(OrgLimit.API_REQUESTS)
        left = self.requests_left()
        if left is None:
            left = requests.share_left if requests else None
        if left is not None and _is_low(left, cost.requests, requests):
            return _low(left, cost.requests, _NO_REQUESTS)
        jobs = limits.get(OrgLimit.BULK_QUERY_JOBS)
        if not cost.bulk_jobs or reading is None or jobs is None:
            return ""
        left = jobs.share_left
        if left is None:
            return "the org has no Bulk query jobs"
        needed = cost.bulk_jobs + self.untold_jobs(reading)
        return _low(left, needed, _NO_JOBS) if _is_low(left, needed, jobs) else ""


def _is_low(left: float, needed: int, limit: Limit | None) -> bool:
    """Return whether less than the kept share is left, or would be after `needed` more."""
    if left < KEPT_SHARE or limit is None or not limit.most:
        # Without the maximum, the share alone decides.
        return left < KEPT_SHARE
    return left * limit.most - needed < KEPT_SHARE * limit.most


def _low(left: float, needed: int, of_what: str) -> str:
    return (
        f"{left:.1%} {of_what} are left, {needed:,} more would be used, and {KEPT_SHARE:.0%} stay for others"
    )


# The limits are accurate within five minutes (REST API guide, list org limits).
_COUNTED_WITHIN_S = 300.0
_MOST_JOBS = 20_000


@dataclass(slots=True)
class BegunJobs:
    """Times at which this process has begun jobs, in monotonic seconds."""

    _at: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_JOBS))

    def note(self, at: float) -> None:
        """Note a job before it is requested, because the answer can be lost."""
        self._at.append(at)

    def untold(self, reading: LimitsReading) -> int:
        """Return how many jobs a `reading` of the limits may not count yet."""
        since = reading.read_at - _COUNTED_WITHIN_S
        while self._at and self._at[0] < since:
            self._at.popleft()
        return len(self._at)


async def renew_nothing() -> None:
    """Leave the limits as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAllowance:
    """Limits of the org as repairs know them, and the jobs that repairs have begun since.

    `renew_limits` is called before a Bulk job begins; the `begun_jobs` of all the
    org's readers are added to its result.
    """

    limits: Callable[[], LimitsReading | None] = lambda: None
    renew_limits: Callable[[], Awaitable[None]] = renew_nothing
    begun_jobs: BegunJobs = field(default_factory=BegunJobs)

    def governor(self, requests_left: Callable[[], float | None]) -> Governor:
        """Return the governor, given the share of requests that the last answer left."""
        return Governor(reading=self.limits, requests_left=requests_left, untold_jobs=self.begun_jobs.untold)
