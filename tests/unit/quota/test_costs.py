"""Cost of a job before it begins."""

import pytest

from streamer.quota import (
    JobCost,
    Limit,
    LimitsReading,
    OrgLimit,
    bulk_job,
    collections,
    cost_sentence,
    query,
)


@pytest.mark.parametrize(("records", "requests"), [(0, 1), (1, 1), (2_000, 1), (2_001, 2), (1_000_000, 500)])
def test_a_query_has_pages_of_2000_records(records: int, requests: int) -> None:
    """The first one is asked for in any case."""
    assert query(records) == JobCost(requests=requests)


@pytest.mark.parametrize(("records", "pages"), [(0, 1), (50_000, 1), (50_001, 2), (1_000_000, 20)])
def test_a_bulk_job_has_pages_of_50000_rows(records: int, pages: int) -> None:
    """It is made, asked about, read and deleted."""
    assert bulk_job(records, polls=10) == JobCost(requests=2 + 10 + pages, bulk_jobs=1, bulk_pages=pages)


@pytest.mark.parametrize(("records", "requests"), [(0, 0), (1, 1), (200, 1), (201, 2)])
def test_a_collection_has_200_records(records: int, requests: int) -> None:
    """No records need no request."""
    assert collections(records) == JobCost(requests=requests)


def test_a_sentence_tells_what_is_left() -> None:
    """An operator decides by it whether to begin."""
    limits = {
        OrgLimit.API_REQUESTS: Limit(most=100_000, remaining=99_000),
        OrgLimit.BULK_QUERY_JOBS: Limit(most=10_000, remaining=9_990),
    }
    cost = bulk_job(1_000_000) + collections(300)
    assert cost_sentence(cost, LimitsReading(limits=limits, at=0.0, read_at=0.0)) == (
        "about 44 requests (less than 0.1% of the 99,000 that are left of the daily limit of "
        "100,000) and 1 Bulk query job (less than 0.1% of the 9,990 that are left of the daily limit "
        "of 10,000) with 20 pages of results; the daily limit of delivered events is not affected"
    )


@pytest.mark.parametrize(
    ("remaining", "said"),
    [
        (150, "(33.3% of the 150 that are left of the daily limit of 1,000)"),
        (10, "(more than all of the 10 that are left of the daily limit of 1,000)"),
        (0, "(nothing is left of the daily limit of 1,000)"),
    ],
)
def test_a_sentence_tells_the_share(remaining: int, said: str) -> None:
    """However little is left."""
    limits = {OrgLimit.API_REQUESTS: Limit(most=1_000, remaining=remaining)}
    assert said in cost_sentence(query(100_000), LimitsReading(limits=limits, at=0.0, read_at=0.0))


def test_a_sentence_does_without_the_limits() -> None:
    """And without jobs."""
    assert (
        cost_sentence(query(1), None)
        == "about 1 request; the daily limit of delivered events is not affected"
    )
