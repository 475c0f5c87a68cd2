"""Verdict: the outcome of an answer, for the event and for the whole target."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from streamer.clock import Clock
from streamer.events import Delivered, Disable, Hold, Outcome, Reject, Retry, Skip
from subscribers.holds import BUSY_S, RECHECK_S
from subscribers.http.answer import Answer
from subscribers.http.outcome_table import OutcomeKind, OutcomeTable

_SHORTEST_S = 1.0

_CONFLICT = 409
_TOO_MANY = 429
_REFUSALS = frozenset({401, 403})
# With these, Retry-After is about the target, and not about one request: RFC 6585 and RFC 9110.
_PAUSES = frozenset({_TOO_MANY, 503})

_DEFAULT_TABLE = OutcomeTable()

# Error codes of APIs for a key that they have processed, and for one that they
# are processing; the IETF draft on Idempotency-Key has 409 for the second.
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

    A 409 about our idempotency key is delivered when the key was processed,
    and a retry when it is in progress. Any other answer has the outcome that
    `table` gives its status. `Retry-After` counts up to `max_hold_s`: with 429
    and 503 it holds the target, and with any other retry it sets the time. A
    hold without `Retry-After` lasts a minute, and ten seconds with 429.
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
            return Skip(reason=f"{_said(answer)}, which outcomes says to skip")
        case OutcomeKind.DISABLE:
            reason = f"{_said(answer)}: it wants no more events"
            return Disable(reason=reason, answer=answer.excerpt, failure=answer.failure)


def _key_conflict(answer: Answer) -> Outcome | None:
    if answer.code in _PROCESSED:
        return Delivered(answer=answer.receipt)
    if answer.code in _IN_PROGRESS:
        return Retry(
            reason="the target is still busy with an earlier attempt",
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
        return "it asks for a pause"
    if status in _REFUSALS:
        return "check the subscriber's credentials and their rights"
    return "read its answer, and resolve its complaint"


def _rejected(answer: Answer) -> Reject:
    redirected = 300 <= answer.status < 400  # noqa: PLR2004 - the class of redirections
    return Reject(
        reason=_said(answer) + _complaint(answer),
        hint="redirects are not followed: set url to the final address"
        if redirected
        else "compare the request with the target's expectations: body, url and method",
        answer=answer.excerpt,
        failure=answer.failure,
    )


def _complaint(answer: Answer) -> str:
    code, words = answer.code, answer.complaint
    # A sentence instead of a code is among the words.
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
        # More digits than a float holds are infinite, and the longest hold bounds them.
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        # The obsolete date form of RFC 9110 names no zone and means UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.now()
    except (ValueError, OverflowError):
        return None
