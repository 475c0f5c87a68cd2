"""Answer of a target, limited in size, and the outcome that follows from the answer."""

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, Field

from streamer.clock import Clock
from streamer.events import Delivered, Disable, FailureClass, Hold, JsonObject, Outcome, Reject, Retry, Skip
from streamer.events.event import value_of_every_event
from streamer.exact_json import exact_default, exact_value
from subscribers.holds import BUSY_S, RECHECK_S
from subscribers.http.complaint import complaint
from subscribers.http.sent_request import SentRequest, with_exchange

EXCERPT_BYTES = 20_000
"""Largest number of bytes of an answer that a receipt or a dead letter keeps."""

READ_BYTES = 1024 * 1024
"""Largest number of bytes that are read from an answer."""

_LONGEST_CODE = 100

_BY_STATUS = {
    401: FailureClass.REFUSED_CREDENTIALS,
    403: FailureClass.REFUSED_CREDENTIALS,
    429: FailureClass.RATE_LIMITED,
}
_BY_HUNDREDS = {
    2: FailureClass.UNEXPECTED_ANSWER,
    3: FailureClass.HTTP_3XX,
    4: FailureClass.HTTP_4XX,
    5: FailureClass.HTTP_5XX,
}


@value_of_every_event
class Answer:
    """HTTP response with at most `READ_BYTES` of its `body`, and with the unparsed `retry_after`.

    `is_cut` is true if the body was longer than `READ_BYTES`. `sent` is the request.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    is_cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    sent: SentRequest | None = field(default=None, repr=False, compare=False)
    value: Any = field(default=None, init=False, repr=False, compare=False)
    """Body as a JSON value; `None` if it is not JSON."""

    def __post_init__(self) -> None:
        if self.body:
            self.value = _json_value(self.body)  # type: ignore[misc] # the answer is not complete yet

    def explaining(self, outcome: Outcome) -> Outcome:
        """Return `outcome`; a failure gets the request and the head of this answer, without secrets."""
        # Nearly all answers are successes, which keep no exchange.
        if self.sent is None or isinstance(outcome, Delivered | Skip | Disable):
            return outcome
        return with_exchange(outcome, self.sent.exchange(self.status, self.headers))

    @property
    def status_line(self) -> str:
        """Status with its usual name, such as `404 Not Found`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def failure(self) -> FailureClass:
        """Failure class of this answer, if it is a failure."""
        return _BY_STATUS.get(self.status) or _BY_HUNDREDS.get(self.status // 100, FailureClass.OTHER)

    @property
    def excerpt(self) -> str:
        """Beginning of the body as text, at most `EXCERPT_BYTES` long."""
        return self.body[:EXCERPT_BYTES].decode(errors="ignore")

    @property
    def json(self) -> JsonObject | None:
        """Body as a JSON object; `None` if it is not an object."""
        return self.value if isinstance(self.value, dict) else None

    @property
    def complaint(self) -> str:
        """The target's own error message; empty if the answer has only a code."""
        words = complaint(self.value)
        return "" if _word(words) == self.code and " " not in words else words

    @property
    def receipt(self) -> JsonObject:
        """Members of the JSON object, in order, that fit into `EXCERPT_BYTES`.

        The receipt omits large members, so that a document's number is kept even if the
        document has ten thousand lines. The receipt also omits members that are nested
        too deeply to be written as JSON. The receipt is empty if the body is not a JSON
        object.
        """
        return fitting(self.json or {})

    @property
    def code(self) -> str:
        """The target's error code in lower_snake_case; empty if there is none.

        The code is in `error`, `error.code`, `error.type` or `code`, or the code is the
        last part of the `type` of RFC 9457 problem details.
        """
        found = self.json or {}
        error = found.get("error")
        if isinstance(error, dict):
            error = error.get("code") or error.get("type")
        return _word(error or found.get("code") or found.get("type"))


def _json_value(body: bytes) -> Any:
    try:
        return exact_value(body)
    except orjson.JSONDecodeError:
        return None


def fitting(found: JsonObject) -> JsonObject:
    """Return as many members of `found` as together fit into `EXCERPT_BYTES`, in the same order."""
    whole = _size(found)
    if whole is not None and whole <= EXCERPT_BYTES:
        return found
    kept: JsonObject = {}
    room = EXCERPT_BYTES
    for name, value in found.items():
        size = _size({name: value})
        if size is not None and size <= room:
            kept[name] = value
            room -= size
    return kept


def _size(found: JsonObject) -> int | None:
    """Return the size of `found` as JSON in bytes; `None` if `found` is nested too deeply for orjson."""
    try:
        return len(orjson.dumps(found, default=exact_default))
    except TypeError:
        return None


def _word(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    last = value.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9_.]", "_", last.strip().lower())[:_LONGEST_CODE]


class OutcomeKind(StrEnum):
    """Kind of outcome, in the words of the configuration."""

    DELIVERED = "delivered"
    RETRY = "retry"
    HOLD = "hold"
    REJECT = "reject"
    SKIP = "skip"
    DISABLE = "disable"


DEFAULTS: Mapping[str, OutcomeKind] = MappingProxyType(
    {
        "1xx": OutcomeKind.REJECT,
        "2xx": OutcomeKind.DELIVERED,
        "3xx": OutcomeKind.REJECT,
        "4xx": OutcomeKind.REJECT,
        "5xx": OutcomeKind.RETRY,
        # A replaced key must not turn a day's events into dead letters.
        "401": OutcomeKind.HOLD,
        "403": OutcomeKind.HOLD,
        "408": OutcomeKind.RETRY,
        "410": OutcomeKind.DISABLE,
        "425": OutcomeKind.RETRY,
        # A rate limit is not the event's fault.
        "429": OutcomeKind.HOLD,
    }
)
"""Default outcome of each status or class of statuses."""

_SHOWN = 20
_STATUS = "[2-5]([0-9][0-9]|xx)"


def _status(key: Any) -> str:
    if isinstance(key, int | str) and re.fullmatch(_STATUS, str(key)):
        return str(key)
    shown = str(key)[:_SHOWN]
    raise ValueError(
        f"{shown} is neither a status from 200 to 599, such as 404, nor a class of statuses, such as 4xx"
    )


OutcomeChanges = Mapping[
    Annotated[
        str,
        BeforeValidator(_status, json_schema_input_type=Annotated[str, Field(pattern=f"^{_STATUS}$")]),
    ],
    OutcomeKind,
]
"""A subscriber's changes to the default outcomes, by status such as `404` or class such as `4xx`."""


class OutcomeTable:
    """Default outcomes with a subscriber's changes.

    A single status takes precedence over a class, even if only the default table
    contains the single status. For example, a change of `4xx` does not affect 401.
    """

    def __init__(self, changes: Mapping[str, OutcomeKind] = MappingProxyType({})) -> None:
        self._changes = changes
        self._table = {**DEFAULTS, **changes}

    def of(self, status: int) -> OutcomeKind:
        """Return the outcome of `status`; a status below 100 counts as 1xx, and a status above 599 as 5xx."""
        return self._table[self._row(status)]

    def is_changed(self, status: int) -> bool:
        """Return whether the subscriber has changed the outcome of `status`."""
        return self._row(status) in self._changes

    def _row(self, status: int) -> str:
        single = str(status)
        return single if single in self._table else f"{min(max(status // 100, 1), 5)}xx"


_SHORTEST_S = 1.0

_CONFLICT = 409
_TOO_MANY = 429
_REFUSALS = frozenset({401, 403})
# For these statuses, Retry-After concerns the whole target and not one request (RFC 6585 and
# RFC 9110).
_PAUSES = frozenset({_TOO_MANY, 503})

_DEFAULT_TABLE = OutcomeTable()

# Error codes of APIs for an idempotency key that they have already processed, and for a key
# that they are processing. The IETF draft on Idempotency-Key uses 409 for the second case.
_PROCESSED = frozenset(
    {
        "already_processed",
        "duplicate_request",
        "idempotency_key_already_used",
        "idempotency_key_already_processed",
        "request_already_processed",
    }
)
_IN_PROGRESS = frozenset({"idempotency_key_in_use", "request_in_progress", "concurrent_request"})


def verdict(
    answer: Answer, clock: Clock, *, max_hold_s: float, table: OutcomeTable = _DEFAULT_TABLE
) -> Outcome:
    """Return the outcome of a request that was answered.

    If a 409 says that the target has already processed the idempotency key, the request
    counts as delivered. If a 409 says that the target is still processing the key, the
    outcome is a retry. Any other answer has the outcome of its status in `table`. A
    retry after 429 or 503 with `Retry-After` becomes a hold of the target.
    `Retry-After` is the duration of a hold; for any other retry, it is the delay before
    the next attempt. `max_hold_s` limits both times. Without `Retry-After`, a hold
    lasts ten seconds after a 429, and a minute after any other status.
    """
    conflict = _key_conflict(answer) if answer.status == _CONFLICT else None
    if conflict is not None:
        return conflict
    match table.of(answer.status):
        case OutcomeKind.DELIVERED:
            return Delivered(answer=answer.receipt)
        case OutcomeKind.RETRY | OutcomeKind.HOLD as kind:
            return _later(answer, kind, asked_pause(answer, clock, max_hold_s=max_hold_s))
        case OutcomeKind.REJECT:
            return _rejected(answer)
        case OutcomeKind.SKIP:
            return Skip(reason=f"{_said(answer)}, and the setting outcomes maps this status to skip")
        case OutcomeKind.DISABLE:
            reason = f"{_said(answer)}: the target wants no more events"
            return Disable(reason=reason, answer=answer.excerpt, failure=answer.failure)


def _key_conflict(answer: Answer) -> Outcome | None:
    if answer.code in _PROCESSED:
        return Delivered(answer=answer.receipt)
    if answer.code in _IN_PROGRESS:
        return Retry(
            reason="the target is still processing an earlier attempt",
            answer=answer.excerpt,
            failure=answer.failure,
        )
    return None


def _later(answer: Answer, kind: OutcomeKind, asked_s: float | None) -> Hold | Retry:
    if kind is OutcomeKind.RETRY and (asked_s is None or answer.status not in _PAUSES):
        return Retry(reason=_said(answer), after_s=asked_s, answer=answer.excerpt, failure=answer.failure)
    usual_s = BUSY_S if answer.status == _TOO_MANY else RECHECK_S
    return Hold(
        reason=f"{_said(answer)}: {_advice(answer.status)}",
        after_s=usual_s if asked_s is None else asked_s,
        answer=answer.excerpt,
        alert=answer.status in _REFUSALS,
        failure=answer.failure,
    )


def _advice(status: int) -> str:
    if status in _PAUSES:
        return "the target asks for a pause"
    if status in _REFUSALS:
        return "check the subscriber's credentials and permissions"
    return "read the target's answer, and fix the problem"


def _rejected(answer: Answer) -> Reject:
    redirected = 300 <= answer.status < 400  # noqa: PLR2004 - the class of redirections
    return Reject(
        reason=_said(answer) + _complaint(answer),
        hint="redirects are not followed: set url to the final address"
        if redirected
        else "compare the request (body, url and method) with what the target expects",
        answer=answer.excerpt,
        failure=answer.failure,
    )


def _complaint(answer: Answer) -> str:
    code, words = answer.code, answer.complaint
    # If the code is a sentence, the message repeats it.
    shown = f" ({code})" if code and not words.lower().startswith(code.replace("_", " ")) else ""
    return shown + (f": {words}" if words else "")


def _said(answer: Answer) -> str:
    return f"the target answered {answer.status_line}"


def asked_pause(answer: Answer, clock: Clock, *, max_hold_s: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, at least one and at most `max_hold_s`."""
    asked_s = _retry_after(answer, clock)
    return None if asked_s is None else min(max(asked_s, _SHORTEST_S), max_hold_s)


def _retry_after(answer: Answer, clock: Clock) -> float | None:
    """Return the seconds that `Retry-After` asks for, in either form of RFC 9110, section 10.2.3."""
    value = (answer.retry_after or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        # Too many digits for a float become infinity, which the longest hold limits.
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        # The obsolete date format of RFC 9110 has no zone and means UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.now()
    except (ValueError, OverflowError):
        return None
