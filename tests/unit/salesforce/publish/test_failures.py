"""Ends of calls become errors by what the caller does about them."""

import pytest
from grpc import StatusCode

from streamer.errors import (
    ConfigurationError,
    CredentialsRefused,
    PublishingRefused,
    RetryLater,
    SalesforceUnavailable,
)
from streamer.salesforce.publish.calls import call_failure, refused_event
from streamer.salesforce.pubsub.errors import CallEnded, reaction


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("service.unavailable", StatusCode.UNAVAILABLE, SalesforceUnavailable),
        ("", StatusCode.UNAVAILABLE, SalesforceUnavailable),
        ("publish.unknown", StatusCode.INTERNAL, SalesforceUnavailable),
        ("concurrent.client.limit.exceeded", StatusCode.RESOURCE_EXHAUSTED, RetryLater),
        ("", StatusCode.RESOURCE_EXHAUSTED, RetryLater),
        ("service.auth.error", StatusCode.UNAUTHENTICATED, CredentialsRefused),
        ("topic.not.found", StatusCode.NOT_FOUND, PublishingRefused),
        ("schema.validation.failed", StatusCode.INVALID_ARGUMENT, PublishingRefused),
        ("service.tenant.license", StatusCode.PERMISSION_DENIED, ConfigurationError),
    ],
)
def test_end_of_a_call_has_its_error(code: str, status: StatusCode, kind: type[Exception]) -> None:
    """By the table of the Pub/Sub API's errors."""
    ended = CallEnded(code or "x", "said by the test", reaction=reaction(code, status), status=status)

    assert type(call_failure("/event/Order__e", ended)) is kind


@pytest.mark.parametrize(
    ("code", "message", "word", "is_transient"),
    [
        ("PUBLISH", "no such field", "publish", False),
        ("PUBLISH", "LIMIT_EXCEEDED: too many", "limit_exceeded", True),
        ("PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", "m", "platform_event_publishing_unavailable", True),
        ("", "", "refused", False),
        ("a\nb" + "c" * 200, "x" * 10_000, "a_b" + "c" * 57, False),
    ],
)
def test_refusal_has_a_stable_word(code: str, message: str, word: str, *, is_transient: bool) -> None:
    """And bounded words of Salesforce's."""
    refused = refused_event(code, message)

    assert (refused.code, refused.is_transient) == (word, is_transient)
    assert len(refused.reason) < 600
