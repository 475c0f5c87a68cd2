"""Only known and plausible limits in Salesforce's answer are used."""

from typing import Any

import pytest

from streamer.quota import Limit, OrgLimit, limits_of


def test_known_limits_are_read() -> None:
    """They are known by Salesforce's keys; other limits are ignored."""
    answer = {
        "DailyDeliveredPlatformEvents": {"Max": 50_000, "Remaining": 40_000},
        "DailyApiRequests": {"Max": 100_000, "Remaining": 0, "Dataloader": {"Max": 0, "Remaining": 0}},
        "ActiveScratchOrgs": {"Max": 3, "Remaining": 3},
    }
    assert limits_of(answer) == {
        OrgLimit.DELIVERED_EVENTS: Limit(most=50_000, remaining=40_000),
        OrgLimit.API_REQUESTS: Limit(most=100_000, remaining=0),
    }


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        {},
        {"Max": 7},
        {"Max": "7", "Remaining": 7},
        {"Max": True, "Remaining": 1},
        {"Max": 7.5, "Remaining": 1},
        {"Max": 10**16, "Remaining": 1},
    ],
)
def test_what_is_no_limit_is_left_out(value: Any) -> None:
    """The others of the answer are taken."""
    answer = {"DailyApiRequests": value, "DailyBulkV2QueryJobs": {"Max": 1, "Remaining": 1}}
    assert list(limits_of(answer)) == [OrgLimit.BULK_QUERY_JOBS]


@pytest.mark.parametrize(
    "answer", [None, 7, "limits", [], [{"DailyApiRequests": {"Max": 1, "Remaining": 1}}]]
)
def test_other_answers_have_no_limits(answer: Any) -> None:
    """Such as that of a proxy."""
    assert limits_of(answer) == {}


def test_an_overdrawn_limit_has_nothing_left() -> None:
    """A remainder below zero counts as zero."""
    limit = limits_of({"DailyApiRequests": {"Max": 10, "Remaining": -5}})[OrgLimit.API_REQUESTS]
    assert (limit.remaining, limit.share_left) == (0, 0.0)


def test_a_limit_of_nothing_has_no_share() -> None:
    """An org without the feature is not one that has used all of it."""
    assert Limit(most=0, remaining=0).share_left is None
