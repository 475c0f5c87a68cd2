"""Costs of reading records, in units that an org limits per day: requests, jobs and pages."""

from dataclasses import dataclass
from math import ceil

from streamer.quota.limits import Limit, LimitsReading, OrgLimit

QUERY_PAGE = 2_000
"""Records on a page of a REST query (REST API guide, query options header); pages can be smaller."""
BULK_PAGE = 50_000
"""Rows on a page of a Bulk query job, if requested (Bulk API 2.0 guide, get results)."""
COLLECTION = 200
"""Records that one request of sObject Collections reads here; Salesforce accepts up to 2,000 ids."""

# One request creates a job, and one deletes it.
_AROUND_JOB = 2
_LEAST_SHOWN = 0.001


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
