"""Answers of the REST API become results, whatever they look like."""

from typing import Any

import pytest

from streamer.errors import PublishingRefused, SalesforceUnavailable
from streamer.ports import Published, PublishResult, Unanswered, Unpublished
from streamer.salesforce.publish.rest import _result, _subresult

UUID = "6f0c1d2e-0000-4000-8000-000000000017"
QUEUED = {"statusCode": "OPERATION_ENQUEUED", "message": UUID, "fields": []}


def error(code: str) -> list[dict[str, Any]]:
    """Return the body of a refused request."""
    return [{"errorCode": code, "message": "said by Salesforce"}]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, {"id": "e01", "success": True, "errors": [QUEUED]}, Published(event_uuid=UUID)),
        (201, {"id": "e01", "success": True}, Published(event_uuid="")),
        (
            201,
            {"success": False, "errors": [{"statusCode": "LIMIT_EXCEEDED", "message": "m"}]},
            Unpublished(
                code="limit_exceeded",
                reason="Salesforce refused the event: LIMIT_EXCEEDED: m",
                is_transient=True,
            ),
        ),
        (
            400,
            error("REQUIRED_FIELD_MISSING"),
            Unpublished(
                code="required_field_missing",
                reason="Salesforce refused the event: REQUIRED_FIELD_MISSING: said by Salesforce",
            ),
        ),
    ],
)
def test_answer_about_the_event_is_its_result(status: int, body: Any, expected: PublishResult) -> None:
    """A success has an entry in `errors`; a limit passes."""
    assert _result("Order__e", status, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, error("NOT_FOUND"), PublishingRefused),
        (403, error("INSUFFICIENT_ACCESS"), PublishingRefused),
        (400, error("INVALID_TYPE"), PublishingRefused),
        (500, error("UNKNOWN_EXCEPTION"), SalesforceUnavailable),
        (200, None, SalesforceUnavailable),
        (200, {"success": "perhaps"}, SalesforceUnavailable),
        (200, [1], SalesforceUnavailable),
    ],
)
def test_any_other_answer_says_nothing_about_the_event(status: int, body: Any, kind: type[Exception]) -> None:
    """It is tried again, or an operator has to act."""
    result = _result("Order__e", status, body)

    assert isinstance(result, Unanswered)
    assert isinstance(result.error, kind)


@pytest.mark.parametrize("part", [None, {}, {"httpStatusCode": "201"}])
def test_part_of_a_composite_answer_without_a_status_is_uncertain(part: Any) -> None:
    """As an answer that did not come."""
    result = _subresult("Order__e", part)

    assert isinstance(result, Unanswered)
    assert isinstance(result.error, SalesforceUnavailable)
