"""Deliveries, the outcomes of attempts at them, and their receipts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamer.events.event import Event, EventId, SubscriberName


class FailureClass(StrEnum):
    """Kind of a failed attempt, for metrics and lists; a plugin names the one that fits best."""

    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    """The target asks for fewer requests."""
    REFUSED_CREDENTIALS = "refused_credentials"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """No connection, or one that broke."""
    UNEXPECTED_ANSWER = "unexpected_answer"
    """The target reports success, but not in its own words."""
    REJECTED = "rejected"
    """The event can never succeed, and no status says so."""
    BROKEN_ROUTE = "broken_route"
    """The subscriber's `when`, `body`, `content` or `text` fails on the event."""
    LOOKUP = "lookup"
    """A record that the subscriber's `enrich` names could not be read."""
    PLUGIN_ERROR = "plugin_error"
    """The plugin raised something, or returned no outcome."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The target has accepted the event, with `answer`."""

    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """This event can succeed later; `after_s`, where the target asked for it, overrides the schedule."""

    reason: str
    after_s: float | None = None
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER


LONGEST_PAUSE_S = 86_400.0
"""Longest `after_s` of an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The whole target needs a pause of `after_s`; it costs this event no attempt.

    `alert` means that the target takes nothing until an operator acts.
    """

    reason: str
    after_s: float
    answer: str = ""
    alert: bool = False
    failure: FailureClass = FailureClass.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """This event can never succeed at this target.

    `sent` is false when no request was sent, so that the outcome says nothing
    about the target's health.
    """

    reason: str
    hint: str = ""
    answer: str = ""
    sent: bool = True
    failure: FailureClass = FailureClass.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """This event is not for this target; `sent` is false when no request was sent."""

    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The target wants no more events, now or later."""

    reason: str
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER


Outcome = Delivered | Retry | Hold | Reject | Skip | Disable
"""Result of one attempt at a delivery."""


class WrittenText(str):
    """Text in a `body` that an operator wrote in the configuration, and no event holds."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes that a target gets as they are, of a media type such as `application/xml`."""

    data: bytes
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one target.

    `key` is the idempotency key: the same on every attempt, after restarts and
    redrives. `attempt` counts from 1. `body` is the event in the target's own
    shape, and `{}` where the event carries none of its fields; its numbers can be
    `Decimal`. `content` is sent in place of it, by a plugin that takes it. `text`
    is a sentence for people. Each is `None` where not configured. `receipts` come
    from the subscribers before this one, by name. `traceparent` is the attempt's
    span as W3C Trace Context writes it, for the header of this name of the request;
    `None` where tracing is off.
    """

    event: Event
    key: str
    attempt: int
    body: Any = None
    text: str | None = None
    content: Content | None = None
    receipts: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Durable record of a finished delivery, with the target's answer.

    `attempts` includes the one that succeeded, which took `seconds`. The other
    times are epoch seconds.
    """

    event_id: EventId
    event_type: str
    event_key: str
    subscriber: SubscriberName
    attempts: int
    first_tried_at: float
    delivered_at: float
    seconds: float
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """Event that a subscriber has settled, forwarded to the subscriber `to`, which comes after it.

    The `receipts` of the event name the subscriber, and those before it. `at`
    is in epoch seconds.
    """

    to: SubscriberName
    event: Event
    at: float
