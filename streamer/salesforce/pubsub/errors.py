"""Ends of calls to the Pub/Sub API: causes, and required reactions."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import grpc
from grpc import StatusCode

from streamer.errors import ConfigurationError
from streamer.salesforce.sessions import Reaction

_TRAILER = "error-code"
_PREFIX = "sfdc.platform.eventbus.grpc."
_LONGEST = 500
_LONGEST_REASON = 60

TOO_LARGE = "answer_too_large"
"""Reason of a call that our client ended because an answer had too many bytes."""

# gRPC's message when an answer exceeds `grpc.max_receive_message_length`, compressed or not.
_TOO_LARGE = "essage larger than max"

# Codes without their prefix (Pub/Sub API guide, handling errors); the first match counts.
_TABLE: tuple[tuple[str, Reaction], ...] = (
    (r"service\.auth\.headers\.", Reaction.GIVE_UP),
    (r"service\.auth\.", Reaction.RENEW_TOKEN),
    (r"service\.tenant\.license", Reaction.GIVE_UP),
    (r"service\.protection\.", Reaction.LEAVE_ALONE),
    (r"service\.", Reaction.TRY_AGAIN),
    (r"concurrent\.client\.limit\.", Reaction.LEAVE_ALONE),
    (r"subscription\.limit\.", Reaction.WAIT_FOR_ALLOWANCE),
    (r"subscription\.fetch\.replayid\.", Reaction.REFUSE_REPLAY_ID),
    (r"subscription\.topic\.", Reaction.REFUSE_CHANNEL),
    # Mistakes within a stream, such as credit beyond the limit. A new stream does not have these mistakes.
    (r"subscription\.", Reaction.TRY_AGAIN),
    (r"topic\.", Reaction.REFUSE_CHANNEL),
    (r"schema\.", Reaction.REFUSE_CHANNEL),
)

# Patterns in gRPC's messages about a failed connection, with a message for an operator.
_CONNECTION: tuple[tuple[str, str], ...] = (
    (
        "WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG",
        "the server does not use TLS: check that org.pubsub.endpoint begins with http://, as for a sandbox",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        (
            "the server's certificate has an unknown authority, or does not have the server's name: "
            "check org.pubsub.ca_file"
        ),
    ),
    (
        "Connection refused",
        "no server listens at this address (connection refused): check org.pubsub.endpoint",
    ),
    (
        "(?i)resolving|lookup failed|name not found",
        "the server's name can't be resolved: check org.pubsub.endpoint",
    ),
)

# Salesforce does not document most statuses of its codes, so a status counts only without a known code.
_BY_STATUS: Mapping[StatusCode, Reaction] = {
    StatusCode.OK: Reaction.HANDSHAKE,
    StatusCode.UNAUTHENTICATED: Reaction.RENEW_TOKEN,
    StatusCode.PERMISSION_DENIED: Reaction.REFUSE_CHANNEL,
    StatusCode.NOT_FOUND: Reaction.REFUSE_CHANNEL,
    StatusCode.INVALID_ARGUMENT: Reaction.REFUSE_CHANNEL,
    StatusCode.RESOURCE_EXHAUSTED: Reaction.LEAVE_ALONE,
    StatusCode.UNIMPLEMENTED: Reaction.GIVE_UP,
}


class CallEnded(Exception):
    """A call has ended although more answers were expected.

    `reason` is one of a few stable words. If the connection failed, `after_s` is
    the connection's own delay, which replaces the usual back-off.
    """

    def __init__(
        self, reason: str, detail: str, *, reaction: Reaction, status: StatusCode | None = None
    ) -> None:
        """`reason` is a word, `detail` a sentence, and `reaction` the required reaction."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.reaction = reaction
        self.status = status
        self.after_s: float | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"

    @classmethod
    def by(cls, error: grpc.aio.AioRpcError, *, secret: str) -> "CallEnded":
        """Return the end of a call for `error`; the message is shortened and never contains `secret`."""
        code, status = _code(error).replace(secret, "***"), error.code()
        if not code and _TOO_LARGE in (error.details() or ""):
            detail = "the answer has more bytes than Streamer accepts"
            return cls(TOO_LARGE, detail, reaction=Reaction.TRY_AGAIN, status=status)
        details = (error.details() or "no details").replace(secret, "***")
        if status is StatusCode.UNAVAILABLE and not code:
            details = _of_connection(details)
        said = f"{code} {details}"
        return cls(
            re.sub(r"\W+", "_", code or status.name).lower()[:_LONGEST_REASON],
            f"{status.name} {' '.join(said.split())[:_LONGEST]}",
            reaction=reaction(code, status),
            status=status,
        )

    @property
    def is_unanswered(self) -> bool:
        """True if the network ended the call and not Salesforce."""
        return self.status is StatusCode.UNAVAILABLE and self.reason == "unavailable"


def _of_connection(details: str) -> str:
    """Return gRPC's message about a failed connection in an operator's words."""
    for pattern, told in _CONNECTION:
        if re.search(pattern, details):
            return told
    return details


def unserved(ended: CallEnded) -> ConfigurationError:
    """Return the error for a client that the Pub/Sub API refuses to serve."""
    return ConfigurationError(
        f"The Pub/Sub API does not serve Streamer ({ended}): check org.pubsub.endpoint, and that the "
        "org and the user have access to the API"
    )


def reaction(code: str, status: StatusCode) -> Reaction:
    """Return the required reaction to an error `code` (without its prefix) with `status`."""
    for pattern, result in _TABLE:
        if re.match(pattern, code):
            return result
    return _BY_STATUS.get(status, Reaction.TRY_AGAIN)


def _code(error: grpc.aio.AioRpcError) -> str:
    """Return the error code in the trailers without its prefix, or an empty text."""
    # The published types describe only the synchronous API.
    trailers: Iterable[tuple[str, str | bytes]] = cast("Any", error.trailing_metadata()) or ()
    for key, value in trailers:
        if key.lower() == _TRAILER:
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
            return text.strip().removeprefix(_PREFIX)[:_LONGEST]
    return ""
