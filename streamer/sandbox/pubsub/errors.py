"""Errors that end a call, with their gRPC statuses and Salesforce's error codes.

Pub/Sub API guide, handling errors: the code is in the trailer `error-code`, and
the description ends with the call's id.
"""

from typing import Any, Final

from grpc import StatusCode

CODE_PREFIX: Final = "sfdc.platform.eventbus.grpc."

AUTH_ERROR: Final = "service.auth.error"
HEADERS_INVALID: Final = "service.auth.headers.invalid"
UNAVAILABLE: Final = "service.unavailable"
CLIENT_LIMIT: Final = "concurrent.client.limit.exceeded"
DELIVERY_LIMIT: Final = "subscription.limit.exceeded"
TOPIC_NOT_FOUND: Final = "topic.not.found"
TOPIC_EMPTY: Final = "topic.validation.empty"
TOPIC_MISMATCH: Final = "subscription.fetch.topic.mismatch"
REPLAY_ID_CORRUPTED: Final = "subscription.fetch.replayid.corrupted"
REPLAY_ID_INVALID: Final = "subscription.fetch.replayid.validation.failed"
REQUESTED_EVENTS_INVALID: Final = "subscription.fetch.requested.events.invalid"
FETCH_OVERFLOW: Final = "subscription.fetch.overflow"
SCHEMA_INVALID: Final = "schema.validation.failed"
SCHEMA_DENIED: Final = "schema.meta.permission"
PUBLISH_STREAM_IDLE: Final = "publish.stream.sweeper.timeout"


class CallAborted(Exception):
    """The server ends a call with a status other than OK.

    Without a `code`, the error looks like a network error, which has no trailer.
    """

    def __init__(self, status: StatusCode, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    async def abort(self, context: Any, rpc_id: str) -> None:
        """End the call of a servicer's `context` with this error; raises gRPC's own error."""
        if self.code is None:
            await context.abort(self.status, self.message)
        else:
            trailers = (("error-code", CODE_PREFIX + self.code),)
            await context.abort(self.status, f"{self.message} rpcId: {rpc_id}", trailers)


def invalid(code: str, message: str) -> CallAborted:
    """Return the error for a client's mistake."""
    return CallAborted(StatusCode.INVALID_ARGUMENT, code, message)


def unauthenticated(code: str, message: str) -> CallAborted:
    """Return the error for a call without valid credentials."""
    return CallAborted(StatusCode.UNAUTHENTICATED, code, message)


def exhausted(code: str, message: str) -> CallAborted:
    """Return the error for an exceeded limit."""
    return CallAborted(StatusCode.RESOURCE_EXHAUSTED, code, message)


def topic_not_found(path: str) -> CallAborted:
    """Return the error for a topic that does not exist."""
    return CallAborted(StatusCode.NOT_FOUND, TOPIC_NOT_FOUND, f"The topic {path[:200]} does not exist.")


def topic_denied(path: str) -> CallAborted:
    """Return the error for a topic to which the user has no access."""
    message = f"The user has no access to the topic {path[:200]}."
    return CallAborted(StatusCode.PERMISSION_DENIED, TOPIC_NOT_FOUND, message)
