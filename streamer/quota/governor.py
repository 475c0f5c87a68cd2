"""Governor of repairs, which keeps requests and jobs for other clients, and the costs of reading."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import ceil

from streamer.quota.limits import KEPT_SHARE, Limit, LimitsReading, OrgLimit

QUERY_PAGE = 2_000
"""Records on a page of a REST query (REST API guide, query options header); pages can be smaller."""
BULK_PAGE = 50_000
"""Rows on a page of a Bulk query job, if requested (Bulk API 2.0 guide, get results)."""
COLLECTION = 200
"""Records that one request of sObject Collections reads here; Salesforce accepts up to 2,000 ids."""

# One request creates a job, and one deletes it.
_AROUND_JOB = 2
_LEAST_SHOWN = 0.001

_NO_REQUESTS = "of the org's daily requests"
_NO_JOBS = "of the org's daily Bulk query jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCost:
    """Cost of a job: all its REST `requests`, including the requests for Bulk query jobs and result pages."""

    requests: int = 0
    bulk_jobs: int = 0
    bulk_pages: int = 0

    def __add__(self, other: "JobCost") -> "JobCost":
        """Return the sum of both costs."""
        return JobCost(
            requests=self.requests + other.requests,
            bulk_jobs=self.bulk_jobs + other.bulk_jobs,
            bulk_pages=self.bulk_pages + other.bulk_pages,
        )


ONE_REQUEST = JobCost(requests=1)


def query(records: int, *, page: int = QUERY_PAGE) -> JobCost:
    """Return the cost of reading `records` with REST queries. Even a query without a result is a request."""
    return JobCost(requests=max(1, ceil(records / page)))


def bulk_job(records: int, *, page: int = BULK_PAGE, polls: int = 20) -> JobCost:
    """Return the cost of reading `records` with one query job of the Bulk API 2.0.

    `polls` are the requests that ask whether the job is done; the number of polls
    depends on Salesforce's speed. A page has fewer rows if its file would exceed 1
    GB.
    """
    pages = max(1, ceil(records / page))
    return JobCost(requests=_AROUND_JOB + polls + pages, bulk_jobs=1, bulk_pages=pages)


def collections(records: int, *, at_once: int = COLLECTION) -> JobCost:
    """Return the cost of reading `records` by id."""
    return JobCost(requests=ceil(records / at_once))


def cost_sentence(cost: JobCost, reading: LimitsReading | None) -> str:
    """Return a sentence with `cost` and, if `reading` is known, its share of today's remaining allowance."""
    left = _left(reading, OrgLimit.API_REQUESTS, cost.requests)
    parts = [f"about {cost.requests:,} {_plural('request', cost.requests)}{left}"]
    if cost.bulk_jobs:
        jobs = f"{cost.bulk_jobs:,} Bulk query {_plural('job', cost.bulk_jobs)}"
        pages = f"{cost.bulk_pages:,} {_plural('page', cost.bulk_pages)} of results"
        parts.append(f"{jobs}{_left(reading, OrgLimit.BULK_QUERY_JOBS, cost.bulk_jobs)} with {pages}")
    return f"{' and '.join(parts)}; the daily limit of delivered events is not affected"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _left(reading: LimitsReading | None, key: OrgLimit, cost: int) -> str:
    limit: Limit | None = reading.limits.get(key) if reading else None
    if limit is None:
        return ""
    if not limit.remaining:
        return f" (nothing is left of the daily limit of {limit.most:,})"
    share = cost / limit.remaining
    shown = "more than all" if share > 1 else f"{share:.1%}" if share >= _LEAST_SHOWN else "less than 0.1%"
    return f" ({shown} of the {limit.remaining:,} that are left of the daily limit of {limit.most:,})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Governor:
    """Decides whether a repair can make its next calls now.

    A fifth of the daily requests and of the Bulk query jobs is reserved for other
    clients. `reading` returns the latest limits. `requests_left` returns the share
    of requests that the last answer of the REST API states; this share is more
    recent than the reading. `untold_jobs` returns the number of new jobs that a
    reading possibly does not count yet. If limits are unknown, no repair waits.
    Salesforce refuses calls beyond its limits. Other requests to the org renew both
    values; at the latest, the next reading of the limits renews them. So a waiting
    repair needs no calls of its own.
    """

    reading: Callable[[], LimitsReading | None]
    requests_left: Callable[[], float | None]
    untold_jobs: Callable[[LimitsReading], int] = lambda _: 0

    @property
    def has_bulk_jobs(self) -> bool:
        """False if the org's limits allow no Bulk query job at all."""
        reading = self.reading()
        jobs = reading.limits.get(OrgLimit.BULK_QUERY_JOBS) if reading else None
        return jobs is None or jobs.most > 0

    def reason_to_wait(self, cost: JobCost = ONE_REQUEST) -> str:
        """Return the reason why calls of this `cost` must wait, or an empty text."""
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
            return "the org's daily limit of Bulk query jobs is 0"
        needed = cost.bulk_jobs + self.untold_jobs(reading)
        return _low(left, needed, _NO_JOBS) if _is_low(left, needed, jobs) else ""


def _is_low(left: float, needed: int, limit: Limit | None) -> bool:
    """Return whether less than the reserved share is left, now or after the use of `needed` more."""
    if left < KEPT_SHARE or limit is None or not limit.most:
        # Without the maximum, only the share is known.
        return left < KEPT_SHARE
    return left * limit.most - needed < KEPT_SHARE * limit.most


def _low(left: float, needed: int, of_what: str) -> str:
    return (
        f"only {left:.1%} {of_what} are left, Streamer needs {needed:,} of them, and {KEPT_SHARE:.0%} "
        "of the limit are reserved for other clients"
    )


# The limits are accurate within five minutes (REST API guide, list org limits).
_COUNTED_WITHIN_S = 300.0
_MOST_JOBS = 20_000


@dataclass(slots=True)
class BegunJobs:
    """Times at which this process has begun jobs, in monotonic seconds."""

    _at: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_JOBS))

    def note(self, at: float) -> None:
        """Record a job before it is requested, because the answer can be lost."""
        self._at.append(at)

    def untold(self, reading: LimitsReading) -> int:
        """Return the number of jobs that a `reading` of the limits possibly does not count yet."""
        since = reading.read_at - _COUNTED_WITHIN_S
        while self._at and self._at[0] < since:
            self._at.popleft()
        return len(self._at)


async def renew_nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAllowance:
    """Limits of the org, and the jobs that repairs have begun since the limits were read.

    `renew_limits` is called before a Bulk job begins. `begun_jobs` counts the jobs of
    all readers of the org.
    """

    limits: Callable[[], LimitsReading | None] = lambda: None
    renew_limits: Callable[[], Awaitable[None]] = renew_nothing
    begun_jobs: BegunJobs = field(default_factory=BegunJobs)

    def governor(self, requests_left: Callable[[], float | None]) -> Governor:
        """Return the governor; `requests_left` returns the share of requests in the last answer."""
        return Governor(reading=self.limits, requests_left=requests_left, untold_jobs=self.begun_jobs.untold)
