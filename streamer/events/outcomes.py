"""Deliveries, the outcomes and exchanges of their attempts, and their receipts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson

from streamer.events.event import Event, EventId, SubscriberName, value_of_every_event

MOST_BYTES = 1024
"""Largest size of one attempt's exchange and answer as JSON, in bytes."""

# With the names of the fields, these limits stay below `MOST_BYTES`.
_REQUEST_BYTES = 256
_ANSWER_BYTES = 256
_HEADERS_BYTES = 384
_VALUE_BYTES = 64
_LARGEST_SIZE = 2**32 - 1
_LARGEST_STATUS = 999

_DIGEST = re.compile(r"[0-9a-f]{16}")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
# The user, the password and the query's values in an address can be secrets.
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_VALUE = re.compile(r"(?<==)[^&#\s]+|(?<=[?&])[^=&#\s]+(?=[&#\s]|\Z)")

KEPT_HEADERS = (
    "retry-after",
    "content-type",
    *("x-request-id", "request-id", "x-correlation-id", "correlation-id", "x-trace-id", "traceresponse"),
    *(
        "x-amzn-requestid",
        "x-amz-request-id",
        "x-ms-request-id",
        "apim-request-id",
        "x-slack-req-id",
        "cf-ray",
    ),
    *("ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "sforce-limit-info"),
)
"""Headers of an answer that are kept, the most helpful first. All others can contain secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptExchange:
    """Request of an attempt as it was sent, and the beginning of the answer, without secrets.

    `request` is the method with the address, such as `POST https://erp.acme.com/invoices`.
    `size` is the content's size in bytes. `digest` is the beginning of the SHA-256 of
    the content, with secrets masked: 16 hexadecimal digits, or empty. `status` is
    `None` if there was no answer. `headers` are headers of the answer, by name in
    lower case.
    """

    request: str
    size: int = 0
    digest: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def bounded(self) -> "AttemptExchange":
        """This exchange within the limits of size, with only the headers in `KEPT_HEADERS`."""
        request = _VALUE.sub("***", _USER.sub("", self.request))
        return AttemptExchange(
            request=beginning(request, _REQUEST_BYTES),
            size=min(max(0, self.size), _LARGEST_SIZE),
            digest=self.digest if _DIGEST.fullmatch(self.digest) else "",
            status=None if self.status is None else min(max(0, self.status), _LARGEST_STATUS),
            headers=dict(_kept(self.headers.items())),
        )


def answer_beginning(answer: str) -> str:
    """Return the beginning of a target's answer, on one line."""
    return beginning(answer, _ANSWER_BYTES)


def beginning(text: str, most: int) -> str:
    """Return the beginning of `text` that takes at most `most` bytes as JSON, on one line."""
    # A character takes at least one byte, so more than `most` characters never fit.
    text = _CONTROL.sub(" ", text[: 2 * most]).strip().encode("utf-8", "replace").decode()
    cut = text[:most]
    while (excess := len(orjson.dumps(cut)) - 2 - (most if cut == text else most - 3)) > 0:
        # A character takes at most four bytes.
        cut = cut[: len(cut) - max(1, excess // 4)]
    return cut if cut == text else f"{cut}…"


def _kept(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    given = {name.lower(): value for name, value in headers}
    room = _HEADERS_BYTES
    for name in KEPT_HEADERS:
        if name in given and (value := beginning(given[name], _VALUE_BYTES)):
            room -= len(orjson.dumps({name: value}))
            if room < 0:
                return
            yield name, value


class FailureClass(StrEnum):
    """Kind of a failed attempt, for metrics and lists; a plugin names the best match."""

    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    """The target asked for fewer requests."""
    REFUSED_CREDENTIALS = "refused_credentials"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """No connection was possible, or the connection broke."""
    UNEXPECTED_ANSWER = "unexpected_answer"
    """The target reported success, but in an unexpected form."""
    REJECTED = "rejected"
    """The target will never accept the event, although no HTTP status says so."""
    BROKEN_ROUTE = "broken_route"
    """The subscriber's `when`, `body`, `content` or `text` failed for the event."""
    LOOKUP = "lookup"
    """A record of the subscriber's `enrich` could not be read."""
    PLUGIN_ERROR = "plugin_error"
    """The plugin raised an exception, or returned no outcome."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The target accepted the event and returned `answer`."""

    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """This event can succeed later. If the target asked for a delay, `after_s` replaces the schedule.

    In this outcome and in the others, `exchange` is the request with the head of the
    answer, if the plugin knows them.
    """

    reason: str
    after_s: float | None = None
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER
    exchange: AttemptExchange | None = None


LONGEST_PAUSE_S = 86_400.0
"""Longest `after_s` of an outcome, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The whole target needs a pause of `after_s`; the event keeps all its remaining attempts.

    `alert` means that the target accepts nothing until an operator acts.
    """

    reason: str
    after_s: float
    answer: str = ""
    alert: bool = False
    failure: FailureClass = FailureClass.OTHER
    exchange: AttemptExchange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """This event can never succeed at this target.

    `sent` is false if no request was sent; then the outcome gives no information
    about the target's health.
    """

    reason: str
    hint: str = ""
    answer: str = ""
    sent: bool = True
    failure: FailureClass = FailureClass.REJECTED
    exchange: AttemptExchange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """This event is not meant for this target. `sent` is false if no request was sent."""

    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The target wants no more events, neither now nor later."""

    reason: str
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER


Outcome = Delivered | Retry | Hold | Reject | Skip | Disable
"""Result of one attempt at a delivery."""


class EventOutcome(StrEnum):
    """Outcome of an event at a subscriber in one word, ordered from the worst to the best."""

    DEAD = "dead"
    RETRYING = "retrying"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    """Another process delivers the event, and the log has no record of it yet."""
    SETTLED = "settled"
    """Delivered, or skipped by the plugin: no receipt was found that says which."""
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    """The subscriber does not select the event."""


class WrittenText(str):
    """Text in a `body` that comes from the configuration and not from an event."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes to send to a target unchanged, with a media type such as `application/xml`."""

    data: bytes
    type: str


@value_of_every_event
class Delivery:
    """One event on its way to one target.

    `key` is the idempotency key: it is the same for every attempt, restart and
    redrive. `attempt` counts from 1. `body` is the event in the form that the
    target needs, or `{}` if the event has none of the body's fields; its numbers
    can be `Decimal`. A plugin that supports `content` sends `content` instead of
    `body`. `text` is a sentence for people. `body`, `content` and `text` are `None`
    if they are not configured. `receipts` are from the subscribers before this one,
    by name. `traceparent` is the attempt's span in the format of W3C Trace Context,
    for the request header of that name; `None` if tracing is off.
    """

    event: Event
    key: str
    attempt: int
    body: Any = None
    text: str | None = None
    content: Content | None = None
    receipts: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None


# Number of failed attempts that are kept for one event at one subscriber: the first and the last ones.
_KEPT_ATTEMPTS = 4
_ATTEMPT_ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """One attempt that did not deliver its event; it ended `at` (epoch seconds), after `seconds`.

    `error` is the beginning of the attempt's reason, and `answer` the beginning of the
    target's answer if `error` does not contain it. None of the fields has secrets.
    """

    at: float
    seconds: float
    failure: FailureClass
    error: str
    answer: str = ""
    exchange: AttemptExchange | None = None

    def added_to(self, earlier: tuple["FailedAttempt", ...]) -> tuple["FailedAttempt", ...]:
        """Return the `earlier` attempts and this attempt.

        If there are too many, attempts in the middle are dropped.

        Only the first attempt and the last one keep the answer and the exchange.
        """
        last = replace(self, error=self.error[:_ATTEMPT_ERROR_LENGTH])
        between = tuple(replace(each, answer="", exchange=None) for each in earlier[1:])
        return (*earlier[:1], *between[2 - _KEPT_ATTEMPTS :], last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Durable record of a finished delivery, with the target's answer.

    `attempts` includes the successful attempt, which took `seconds`. The other
    times are epoch seconds. `failed_attempts` are the attempts before, as far as
    they were kept.
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
    failed_attempts: tuple[FailedAttempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """Event that one subscriber has settled, forwarded to the later subscriber `to`.

    The event's `receipts` name the settling subscriber and the subscribers before
    it. `at` is in epoch seconds.
    """

    to: SubscriberName
    event: Event
    at: float
