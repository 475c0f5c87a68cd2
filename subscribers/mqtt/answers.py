"""Outcomes of a broker's answers, by the reason codes of MQTT 5 (section 2.4 of the standard)."""

from collections.abc import Mapping
from types import MappingProxyType

from streamer.events import Delivered, FailureClass, Hold, Outcome, Reject, Retry
from subscribers.holds import BUSY_S, RECHECK_S
from subscribers.mqtt.packets import BrokerAnswer, Publish

_SHOWN = 200

_NO_SUBSCRIBERS = 0x10

_NAMES: Mapping[int, str] = MappingProxyType(
    {
        0x80: "unspecified error",
        0x81: "malformed packet",
        0x82: "protocol error",
        0x83: "implementation specific error",
        0x84: "unsupported protocol version",
        0x85: "client identifier not valid",
        0x86: "bad user name or password",
        0x87: "not authorized",
        0x88: "server unavailable",
        0x89: "server busy",
        0x8A: "banned",
        0x8B: "server shutting down",
        0x8C: "bad authentication method",
        0x8D: "keep alive timeout",
        0x8E: "session taken over",
        0x90: "topic name invalid",
        0x91: "packet identifier in use",
        0x93: "receive maximum exceeded",
        0x95: "packet too large",
        0x96: "message rate too high",
        0x97: "quota exceeded",
        0x98: "administrative action",
        0x99: "payload format invalid",
        0x9A: "retain not supported",
        0x9B: "QoS not supported",
        0x9C: "use another server",
        0x9D: "server moved",
        0x9F: "connection rate exceeded",
        0xA0: "maximum connect time",
    }
)

_RIGHTS = "check username, password and client_certificate, and the user's permissions for the topic"

# An operator must act, and nothing can be delivered until then.
_HELD = {
    0x84: "set version to a version that the broker supports",
    0x85: "set another client_id",
    0x86: _RIGHTS,
    0x87: _RIGHTS,
    0x8A: _RIGHTS,
    0x8C: _RIGHTS,
    0x8E: (
        "another client uses the same client_id: set a different client_id in each process, such as "
        "streamer-${HOSTNAME}"
    ),
    0x9A: "set retain: false",
    0x9B: "set a lower qos",
    0x9C: "set url to the broker's new address",
    0x9D: "set url to the broker's new address",
}
_OF_CREDENTIALS = frozenset({0x86, 0x87, 0x8A, 0x8C})

# The broker asks for fewer messages or connections.
_BUSY = frozenset({0x89, 0x96, 0x97, 0x9F})

# The message itself is the reason.
_REJECTED = {
    0x90: "set topic to a name that the broker accepts",
    0x95: "send a smaller body, or raise the broker's limit",
    0x99: "change body or content to what the broker accepts",
}


def acknowledged(answer: BrokerAnswer, message: Publish) -> Outcome:
    """Return the outcome of `message` from the broker's `answer`.

    A message counts as delivered even if its topic has no subscribers.
    """
    if answer.is_refusal:
        sentence = "the broker refuses the message"
        return refused(sentence, answer, is_about_message=True, otherwise=FailureClass.OTHER)
    found = {"topic": message.topic}
    return Delivered(
        answer={**found, "subscribers": "none"} if answer.code == _NO_SUBSCRIBERS else found,
    )


def refused(
    sentence: str,
    answer: BrokerAnswer,
    *,
    is_about_message: bool,
    otherwise: FailureClass = FailureClass.CONNECTION,
) -> Reject | Hold | Retry:
    """Return the outcome of a refusal; `sentence` says what was refused.

    `otherwise` is the failure class of a retry. With `is_about_message`, the refusal
    can concern the message, so some codes reject the event.
    """
    code = answer.code
    name = _NAMES.get(code, "unknown code")
    words = f", {answer.reason[:_SHOWN]}" if answer.reason else ""
    reason = f"{sentence}: {name} ({code:#04x}{words})"
    if is_about_message and code in _REJECTED:
        return Reject(reason=reason, hint=_REJECTED[code])
    if code in _HELD:
        server = f" ({answer.server[:_SHOWN]})" if answer.server else ""
        return Hold(
            reason=f"{reason}: {_HELD[code]}{server}",
            after_s=RECHECK_S,
            alert=True,
            failure=FailureClass.REFUSED_CREDENTIALS if code in _OF_CREDENTIALS else FailureClass.CONNECTION,
        )
    if code in _BUSY:
        return Hold(reason=reason, after_s=BUSY_S, failure=FailureClass.RATE_LIMITED)
    return Retry(reason=reason, failure=otherwise)
