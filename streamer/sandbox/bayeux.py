"""Bayeux replies, refusals and error texts in Salesforce's wording."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

JsonObject = dict[str, Any]

HANDSHAKE: Final = "/meta/handshake"
CONNECT: Final = "/meta/connect"
SUBSCRIBE: Final = "/meta/subscribe"
UNSUBSCRIBE: Final = "/meta/unsubscribe"
DISCONNECT: Final = "/meta/disconnect"

META_CHANNELS: Final = frozenset({HANDSHAKE, CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT})

LONG_POLLING: Final = "long-polling"

HANDSHAKE_EXT: Final = {"replay": True, "payload.format": True}
STOP: Final = {"reconnect": "none", "interval": 0}
HANDSHAKE_AGAIN: Final = {"interval": 0, "reconnect": "handshake"}

SERVER_BUSY: Final = "503::Server is too busy.  Please try your request again later."
TOO_MANY_CONNECTIONS: Final = (
    "403::To protect all customers from excessive use and Denial of Service attacks, "
    "we limit the number of simultaneous connections per server."
)
CONCURRENT_LIMIT: Final = "403::Organization concurrent user limit exceeded"
DAILY_LIMIT: Final = "403::Organization total events daily limit exceeded"
AUTHENTICATION_INVALID: Final = "401::Authentication invalid"
AUTHENTICATION_REQUIRED: Final = "401::Request requires authentication"

_VERSION_FORMAT = "URI format: '/cometd/66.0'"
VERSION_MISSING: Final = f"400::API version in the URI is mandatory. {_VERSION_FORMAT}"
VERSION_UNSUPPORTED: Final = (
    f"400::Unsupported API version. Only API versions '37.0' and later are supported. {_VERSION_FORMAT}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The refusal of a request.

    `reason` becomes `ext.sfdc.failureReason`, in which Salesforce states the true
    cause. An `anonymous` refusal repeats neither the client's id nor its subscription
    (Streaming API guide, handling errors).
    """

    error: str
    reason: str | None = None
    advice: Mapping[str, Any] | None = None
    anonymous: bool = False

    def reply_to(self, message: JsonObject) -> JsonObject:
        """Return the unsuccessful reply to `message`."""
        reply: JsonObject = {"channel": message.get("channel"), "successful": False, "error": self.error}
        repeated = ("id",) if self.anonymous else ("id", "clientId", "subscription")
        reply |= {key: message[key] for key in repeated if key in message}
        if self.advice is not None:
            reply["advice"] = dict(self.advice)
        ext: JsonObject = {} if self.reason is None else {"sfdc": {"failureReason": self.reason}}
        if message.get("channel") == HANDSHAKE:
            ext |= HANDSHAKE_EXT
        return {**reply, "ext": ext} if ext else reply


UNKNOWN_CLIENT: Final = Failure(error="403::Unknown client", advice=HANDSHAKE_AGAIN, anonymous=True)
NO_HANDSHAKE: Final = Failure(error="403::Client has not completed handshake", advice=HANDSHAKE_AGAIN)
PUBLISH_DENIED: Final = Failure(error="403:denied_by_security_policy:publish_denied")


def handshake_denied(reason: str) -> Failure:
    """Return the refusal of a handshake; its `error` never states the cause."""
    return Failure(error="403::Handshake denied", reason=reason, advice={"reconnect": "none"})


def unauthenticated(channel: str, authorisation: str | None) -> Failure:
    """Return the refusal of a request without a valid session, in the form of the request's channel."""
    if channel == HANDSHAKE:
        return handshake_denied(AUTHENTICATION_REQUIRED if authorisation is None else AUTHENTICATION_INVALID)
    return Failure(error=AUTHENTICATION_INVALID, advice=STOP)


def cookie_missing(client_id: str) -> Failure:
    """Return the refusal of a session's request that lacks the session's cookie."""
    return Failure(
        error=f"400::Client {client_id} has established a session, but no BAYEUX_BROWSER cookie present",
    )


def invalid_connection_type(name: object) -> Failure:
    """Return the refusal of every transport except long-polling."""
    return Failure(error=f"400::Invalid connection type {{{name}}}", advice={"reconnect": "none"})


def invalid_replay_id(replay_id: object) -> Failure:
    """Return the refusal of an unknown or expired replay id; the braces are literal."""
    return Failure(
        error=f"400::The replayId {{{replay_id}}} you provided was invalid.  Please provide a valid ID, "
        "-2 to replay all events, or -1 to replay only new events."
    )


def replay_id_not_found(channel: str, replay: object) -> Failure:
    """Return the refusal of a replay map that has no number for `channel`."""
    return Failure(
        error=f"400::The replayId for channel {{{channel}}} wasn't found using the provided replay ID map "
        f"{{{_java_map(replay)}}}. Ensure that the channel name you provided in the replay map is valid and "
        "matches the channel name used for subscribing."
    )


def _java_map(replay: object) -> str:
    if not isinstance(replay, dict):
        return str(replay)
    pairs = (f"{key}={'null' if value is None else value}" for key, value in replay.items())
    return "{" + ", ".join(pairs) + "}"


def success(message: JsonObject, **more: Any) -> JsonObject:
    """Return the successful reply to `message`, with its id as the client sent it."""
    echoed: JsonObject = {key: message[key] for key in ("clientId", "channel", "id") if key in message}
    return {**echoed, **more, "successful": True}
