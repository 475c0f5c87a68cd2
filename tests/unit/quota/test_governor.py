"""Repairs leave a fifth of the org's requests and jobs to others."""

import pytest

from streamer.quota import Governor, JobCost, Limit, LimitsReading, OrgLimit

NO_COST = JobCost()


def governor(
    *, requests: int | None = None, jobs: int | None = None, header: float | None = None, most: int = 1_000
) -> Governor:
    """Return the governor of an org with so much left of `most`, and with `header` as the latest share."""
    left = {OrgLimit.API_REQUESTS: requests, OrgLimit.BULK_QUERY_JOBS: jobs}
    limits = {key: Limit(most=most, remaining=each) for key, each in left.items() if each is not None}
    reading = LimitsReading(limits=limits, at=0.0, read_at=0.0) if limits else None
    return Governor(reading=lambda: reading, requests_left=lambda: header)


def test_a_fifth_of_the_requests_is_kept() -> None:
    """The last of the others can be used."""
    assert governor(requests=201).reason_to_wait() == ""
    assert governor(requests=200).reason_to_wait() == (
        "only 20.0% of the org's daily requests are left, Streamer needs 1 of them, and 20% of "
        "the limit are reserved for other clients"
    )


def test_the_latest_answer_counts() -> None:
    """The limits are minutes old."""
    assert governor(requests=1_000, header=0.1).reason_to_wait().startswith("only 10.0%")
    assert governor(requests=0, header=0.9).reason_to_wait() == ""


def test_the_share_alone_decides_where_the_limits_are_unknown() -> None:
    """As for a user without View Setup."""
    assert governor(header=0.2).reason_to_wait(JobCost(requests=10**6)) == ""
    assert governor(header=0.19).reason_to_wait(JobCost(requests=2)).startswith("only 19.0%")


def test_calls_are_counted_in_advance() -> None:
    """The remainder after them counts."""
    assert governor(requests=300).reason_to_wait(JobCost(requests=100)) == ""
    assert governor(requests=300).reason_to_wait(JobCost(requests=101))


def test_bulk_jobs_are_kept_for_others_too() -> None:
    """And hold up only what needs one."""
    job = JobCost(requests=1, bulk_jobs=1)
    assert governor(requests=1_000, jobs=201).reason_to_wait(job) == ""
    assert "Bulk query jobs" in governor(requests=1_000, jobs=200).reason_to_wait(job)
    assert governor(requests=1_000, jobs=0).reason_to_wait() == ""


def test_an_org_without_bulk_jobs_takes_none() -> None:
    """A share of nothing is nothing."""
    assert governor(jobs=0, most=0).reason_to_wait(JobCost(bulk_jobs=1)) == (
        "the org's daily limit of Bulk query jobs is 0"
    )


@pytest.mark.parametrize(("most", "has"), [(0, False), (10, True), (None, True)])
def test_an_org_can_lack_bulk_jobs(most: int | None, has: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """So that its records are read otherwise; one whose jobs are used up has them again."""
    unlimited = governor()
    assert (unlimited if most is None else governor(jobs=0, most=most)).has_bulk_jobs is has


@pytest.mark.parametrize("cost", [NO_COST, JobCost(requests=10**6, bulk_jobs=1)])
def test_what_is_unknown_holds_nothing_up(cost: JobCost) -> None:
    """A user without View Setup can repair."""
    assert governor().reason_to_wait(cost) == ""
