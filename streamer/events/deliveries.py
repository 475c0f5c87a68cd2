"""Deliveries of events to targets, and what is recorded of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamer.events.event import Event
from streamer.events.ids import EventId, SubscriberName


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
