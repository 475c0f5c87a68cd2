"""Bayeux in Salesforce's dialect: the meaning of its refusals, and its advice."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from streamer.salesforce.recovery import Reaction

HANDSHAKE = "/meta/handshake"
CONNECT = "/meta/connect"
SUBSCRIBE = "/meta/subscribe"
UNSUBSCRIBE = "/meta/unsubscribe"
DISCONNECT = "/meta/disconnect"

JsonObject = dict[str, Any]

# Salesforce holds a connect for 110 s. A server that advises an hour would silence the client for as long.
_LONGEST_INTERVAL_S = 60.0
_LONGEST_TIMEOUT_S = 180.0
_LONGEST_WAIT_MS = 3_600_000
_ERROR = re.compile(r"(\d{3}):([^:]*):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxError:
    """Parsed error string of Bayeux, `code:args:message`."""

    code: int
    args: str
    message: str

    @classmethod
    def parse(cls, text: Any) -> "BayeuxError | None":
        """Return the error in `text`, or `None` if it has another form."""
        found = _ERROR.match(text) if isinstance(text, str) else None
        return cls(code=int(found[1]), args=found[2], message=found[3]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The server's advice about reconnecting, within bounds; the latest value of each field counts."""

    reconnect: str = "retry"
    interval_s: float = 0.0
    timeout_s: float = 110.0

    def updated(self, reply: JsonObject) -> "Advice":
        """Return this advice with the changes of `reply`; invalid values change nothing."""
        said = reply.get("advice")
        if not isinstance(said, dict):
            return self
        reconnect = said.get("reconnect")
        return Advice(
            reconnect=reconnect if isinstance(reconnect, str) else self.reconnect,
            interval_s=min(_seconds(said.get("interval"), self.interval_s), _LONGEST_INTERVAL_S),
            timeout_s=min(_seconds(said.get("timeout"), self.timeout_s), _LONGEST_TIMEOUT_S),
        )


def causes(reply: Mapping[str, Any]) -> list[str]:
    """Return the causes that a refusal names, the true one first.

    Salesforce hides it in `ext.sfdc.failureReason`, behind an `error` that can
    name another cause (Streaming API guide, handling errors).
    """
    ext = reply.get("ext")
    sfdc = ext.get("sfdc") if isinstance(ext, dict) else None
    reason = sfdc.get("failureReason") if isinstance(sfdc, dict) else None
    return [cause for cause in (reason, reply.get("error")) if isinstance(cause, str) and cause]


def reaction(reply: Mapping[str, Any]) -> Reaction:
    """Return the required reaction to the unsuccessful `reply` (Streaming API guide, error codes)."""
    errors = [error for cause in causes(reply) if (error := BayeuxError.parse(cause))]
    # A busy server says so in the failure reason, and can say 401 in `error`.
    if any(error.code == HTTPStatus.SERVICE_UNAVAILABLE for error in errors):
        return Reaction.LEAVE_ALONE
    if _names_no_channel(reply):
        return Reaction.RETRY_CHANNEL
    for error in errors:
        for channel, code, pattern, result in _TABLE:
            if (
                (channel is None or reply.get("channel") == channel)
                and error.code == code
                and re.match(pattern, f"{error.args}:{error.message}")
            ):
                return result
    return Reaction.RETRY_CHANNEL if reply.get("channel") == SUBSCRIBE else Reaction.TRY_AGAIN


# Channel of the reply (any: None), code, pattern of `args:message`, reaction; the first match counts.
_TABLE: tuple[tuple[str | None, int, str, Reaction], ...] = (
    (None, 401, "", Reaction.RENEW_TOKEN),
    (None, 402, "", Reaction.HANDSHAKE),
    (None, 403, ":Unknown client", Reaction.HANDSHAKE),
    (None, 403, ":Client has not completed handshake", Reaction.HANDSHAKE),
    (None, 400, r":Client .*no BAYEUX_BROWSER cookie", Reaction.HANDSHAKE),
    (None, 400, ":Authenticated user id does not match", Reaction.HANDSHAKE),
    (None, 403, ":Organization total events daily limit exceeded", Reaction.WAIT_FOR_ALLOWANCE),
    (None, 403, ":Organization concurrent user limit exceeded", Reaction.LEAVE_ALONE),
    (None, 403, ":To protect all customers", Reaction.LEAVE_ALONE),
    (None, 400, ":API version in the URI is mandatory", Reaction.GIVE_UP),
    (None, 400, ":Unsupported API version", Reaction.GIVE_UP),
    (None, 400, ":Invalid connection type", Reaction.GIVE_UP),
    (SUBSCRIBE, 400, r":The replayId \{.*\} you provided was invalid", Reaction.REFUSE_REPLAY_ID),
    (SUBSCRIBE, 400, r":The replayId for channel \{.*\} wasn't found", Reaction.REFUSE_REPLAY_ID),
    (SUBSCRIBE, 403, "denied_by_", Reaction.RETRY_CHANNEL),
    (SUBSCRIBE, 400, ":", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 403, ":(Cannot create|Restricted|User not|Subscriber does not)", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 403, ":(Subscription limit|Unable to create|No access)", Reaction.REFUSE_CHANNEL),
    (SUBSCRIBE, 404, ":", Reaction.REFUSE_CHANNEL),
)


def _names_no_channel(reply: Mapping[str, Any]) -> bool:
    # This is how a server answers a subscription after it lost the session; its error can mislead.
    advice = reply.get("advice")
    return (
        reply.get("channel") == SUBSCRIBE
        and not reply.get("subscription")
        and isinstance(advice, dict)
        and advice.get("reconnect") == "handshake"
    )


def _seconds(milliseconds: Any, default: float) -> float:
    # `true` is an int to Python, and NaN or a negative wait would make us spin.
    if type(milliseconds) in {int, float} and 0 <= milliseconds <= _LONGEST_WAIT_MS:
        return float(milliseconds) / 1000
    return default
