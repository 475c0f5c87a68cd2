"""Each end of a call asks for one reaction."""

import grpc
import pytest
from grpc import StatusCode

from streamer.salesforce.pubsub.errors import CallEnded, reaction
from streamer.salesforce.sessions import Reaction

_PREFIX = "sfdc.platform.eventbus.grpc."


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("service.auth.error", Reaction.RENEW_TOKEN),
        ("service.auth.refresh.invalid", Reaction.RENEW_TOKEN),
        ("service.auth.headers.invalid", Reaction.GIVE_UP),
        ("service.tenant.license", Reaction.GIVE_UP),
        ("service.protection.anything", Reaction.LEAVE_ALONE),
        ("service.unavailable", Reaction.TRY_AGAIN),
        ("concurrent.client.limit.exceeded", Reaction.LEAVE_ALONE),
        ("subscription.limit.exceeded", Reaction.WAIT_FOR_ALLOWANCE),
        ("subscription.fetch.replayid.corrupted", Reaction.REFUSE_REPLAY_ID),
        ("subscription.fetch.replayid.validation.failed", Reaction.REFUSE_REPLAY_ID),
        ("subscription.fetch.requested.events.invalid", Reaction.TRY_AGAIN),
        ("subscription.fetch.topic.mismatch", Reaction.TRY_AGAIN),
        ("subscription.fetch.replay.repeated", Reaction.TRY_AGAIN),
        ("subscription.fetch.overflow", Reaction.TRY_AGAIN),
        ("subscription.internal.error", Reaction.TRY_AGAIN),
        ("subscription.topic.cannot.subscribe", Reaction.REFUSE_CHANNEL),
        ("topic.not.found", Reaction.REFUSE_CHANNEL),
        ("topic.validation.empty", Reaction.REFUSE_CHANNEL),
        ("schema.validation.failed", Reaction.REFUSE_CHANNEL),
        ("schema.meta.permission", Reaction.REFUSE_CHANNEL),
    ],
)
@pytest.mark.parametrize("status", [StatusCode.UNAUTHENTICATED, StatusCode.UNKNOWN])
def test_code_decides_whatever_the_status_is(code: str, expected: Reaction, status: StatusCode) -> None:
    """Most of the statuses are not documented."""
    assert reaction(code, status) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (StatusCode.UNAUTHENTICATED, Reaction.RENEW_TOKEN),
        (StatusCode.PERMISSION_DENIED, Reaction.REFUSE_CHANNEL),
        (StatusCode.NOT_FOUND, Reaction.REFUSE_CHANNEL),
        (StatusCode.INVALID_ARGUMENT, Reaction.REFUSE_CHANNEL),
        (StatusCode.RESOURCE_EXHAUSTED, Reaction.LEAVE_ALONE),
        (StatusCode.UNIMPLEMENTED, Reaction.GIVE_UP),
        (StatusCode.UNAVAILABLE, Reaction.TRY_AGAIN),
        (StatusCode.INTERNAL, Reaction.TRY_AGAIN),
        (StatusCode.CANCELLED, Reaction.TRY_AGAIN),
        (StatusCode.DATA_LOSS, Reaction.TRY_AGAIN),
    ],
)
@pytest.mark.parametrize("code", ["", "something.new"])
def test_status_decides_without_a_known_code(code: str, status: StatusCode, expected: Reaction) -> None:
    """Codes can be added at any time."""
    assert reaction(code, status) is expected


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            "Tls handshake failed: SSL_ERROR_SSL: routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid",
            "check that org.pubsub.endpoint begins with http://",
        ),
        (
            "last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused",
            "no server listens at this address",
        ),
        (
            "errors resolving a.invalid:7443: [field:hostname lookup error:Domain name not found]",
            "can't be resolved",
        ),
        (
            "Ssl handshake failed: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: x",
            "org.pubsub.ca_file",
        ),
    ],
)
def test_connection_that_is_not_made_is_told_in_words_of_an_operator(details: str, told: str) -> None:
    """The library's own lines name sockets and routines of OpenSSL."""
    end = ended(details=details)

    assert told in end.detail
    assert "OPENSSL" not in end.detail
    assert end.is_unanswered


def ended(*trailers: tuple[str, str | bytes], details: str = "said rpcId: 1") -> CallEnded:
    """Return the end of a call with these trailers."""
    metadata = grpc.aio.Metadata(*trailers)
    error = grpc.aio.AioRpcError(StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, details, None)
    return CallEnded.by(error, secret="00D!token")


@pytest.mark.parametrize("value", [f"{_PREFIX}service.unavailable", f"{_PREFIX}service.unavailable".encode()])
def test_end_is_named_by_its_code(value: str | bytes) -> None:
    """The word is for a metric, the sentence for a person."""
    end = ended(("other", "x"), ("error-code", value))

    assert end.reason == "service_unavailable"
    assert str(end) == "service_unavailable: UNAVAILABLE service.unavailable said rpcId: 1"
    assert not end.is_unanswered


def test_end_without_a_code_is_the_networks() -> None:
    """Salesforce gives every end of its own a code."""
    assert ended().is_unanswered
    assert ended().reason == "unavailable"


def test_hostile_words_are_short_and_hold_no_secret() -> None:
    """They come from an unknown server."""
    end = ended(("error-code", "a\nb 00D!token" + "x" * 9_000), details="\n00D!token " * 5_000)

    assert len(end.detail) < 600
    assert end.reason.startswith("a_b_")
    assert len(end.reason) <= 60
    assert "00D!token" not in f"{end.detail}{end.reason}"
    assert "\n" not in end.detail
