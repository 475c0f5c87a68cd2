"""Refusals of the Tooling API, as advice."""

import pytest

from streamer.salesforce.rest import RequestRefused
from streamer.salesforce.tooling.refusals import refused_change, refused_reading


def refused(status: int, code: str, message: str = "no") -> RequestRefused:
    """Return a refusal as the REST client raises it."""
    return RequestRefused(f"POST x was refused with HTTP {status} {code} {message}", status=status, code=code)


@pytest.mark.parametrize(
    ("error", "advice", "is_final"),
    [
        (refused(403, "INSUFFICIENT_ACCESS"), "the permission Customize Application", True),
        (refused(400, "INSUFFICIENT_ACCESS_OR_READONLY"), "the permission Customize Application", True),
        (refused(400, "LIMIT_EXCEEDED"), "5 entities", False),
        (refused(400, "UNKNOWN_EXCEPTION", "the maximum number of entities"), "5 entities", False),
        (refused(400, "INVALID_INPUT", "no such entity"), "check the names", False),
    ],
)
def test_refused_change_has_advice_and_salesforces_words(
    error: RequestRefused, advice: str, *, is_final: bool
) -> None:
    """The codes are not documented, so statuses and words count too."""
    found = refused_change("select Account for ChangeEvents", error)
    assert str(found).startswith("can't select Account for ChangeEvents: ")
    assert advice in str(found)
    assert str(error) in str(found)
    assert found.is_final is is_final


def test_what_exists_or_is_missing_is_told_apart() -> None:
    """It can be as wanted all the same."""
    assert refused_change("create X", refused(400, "DUPLICATE_DEVELOPER_NAME")).found
    assert refused_change("delete X", refused(404, "NOT_FOUND")).missing


@pytest.mark.parametrize("error", [refused(403, "INSUFFICIENT_ACCESS"), refused(400, "INVALID_TYPE")])
def test_refused_reading_names_its_permission(error: RequestRefused) -> None:
    """Which another one than that for changes."""
    assert "View Setup and Configuration" in str(refused_reading(error))
