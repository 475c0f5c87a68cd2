"""What an answer means for the event, and for the whole target."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from streamer.clock import Clock
from streamer.events import Delivered, Disable, Hold, Outcome, Reject, Retry
from subscribers.http.answer import Answer

PATIENCE_S = 60.0
"""How long a target is left alone before we look whether someone has mended what it complains about."""

_BUSY_S = 10.0
_SHORTEST_S = 1.0
_PASSING = frozenset({408, 425, 429})

# What APIs call a key that they have acted on, and one that they are acting
# on now; the IETF draft on Idempotency-Key has 409 for the second.
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


def verdict(answer: Answer, clock: Clock, *, max_hold_s: float) -> Outcome:
    """Return what came of a request that was answered.

    2xx is delivered, and so is a 409 that says the idempotency key was acted
    on already. 408, 425 and 5xx may succeed later, at the time that they name
    if they do. 429 and 503 with `Retry-After` hold the target for that long,
    at most `max_hold_s`; 429 without it for ten seconds, since a limit is no
    fault of the event. 401 and 403, after a renewal, hold it for a minute. 410
    disables it. Whatever else says that the request is wrong rejects the event.
    """
    if 200 <= answer.status < 300:  # noqa: PLR2004 - the class of success
        return Delivered(answer=answer.receipt)
    if answer.status >= 500 or answer.status in _PASSING:  # noqa: PLR2004 - the class of server errors
        asked_s = _retry_after(answer, clock)
        return _later(answer, None if asked_s is None else min(max(asked_s, _SHORTEST_S), max_hold_s))
    return _refusal(answer)


def _later(answer: Answer, asked_s: float | None) -> Outcome:
    if answer.status == 429 or (answer.status == 503 and asked_s is not None):  # noqa: PLR2004 - RFC 9110 and 6585
        return _hold(answer, asked_s or _BUSY_S, "it asks for a pause")
    reason = f"the target answered {answer.status_line}"
    return Retry(reason=reason, after_s=asked_s, answer=answer.excerpt)


def _hold(answer: Answer, after_s: float, why: str) -> Hold:
    reason = f"the target answered {answer.status_line}: {why}"
    return Hold(reason=reason, after_s=after_s, answer=answer.excerpt)


def _refusal(answer: Answer) -> Outcome:
    match answer.status:
        case 401 | 403:
            return _hold(answer, PATIENCE_S, "check the subscriber's credentials and their rights")
        case 409:
            return _conflict(answer)
        case 410:
            return Disable(reason="the target answered 410 Gone: it wants no more", answer=answer.excerpt)
        case _:
            return _rejected(answer)


def _conflict(answer: Answer) -> Outcome:
    if answer.code in _PROCESSED:
        return Delivered(answer=answer.receipt)
    if answer.code in _IN_PROGRESS:
        return Retry(reason="the target is still busy with an earlier attempt", answer=answer.excerpt)
    return _rejected(answer)


def _rejected(answer: Answer) -> Reject:
    redirected = 300 <= answer.status < 400  # noqa: PLR2004 - the class of redirections
    return Reject(
        reason=f"the target answered {answer.status_line}" + (f" ({answer.code})" if answer.code else ""),
        hint="redirects are not followed: set url to the final address"
        if redirected
        else "compare what was sent with what the target expects: body, url and method",
        answer=answer.excerpt,
    )


def _retry_after(answer: Answer, clock: Clock) -> float | None:
    """Return the seconds that `Retry-After` asks for, in either form of RFC 9110, section 10.2.3."""
    value = (answer.retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        # The obsolete date form of RFC 9110 names no zone and means UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.now()
    except (ValueError, OverflowError):
        return None
