"""Validated results of plugins, the failures among them, and the schedule of retries.

A plugin is foreign code, so each value that it returns or raises is checked
before it is used. No function here raises, whatever the value's own methods do:
a library's time-out can be a `BaseException`.
"""

import math
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, get_args

import orjson
import structlog

from streamer.backoff import Backoff, Jitter
from streamer.clock import Clock
from streamer.events import (
    LONGEST_PAUSE_S,
    Delivered,
    Disable,
    EventId,
    FailureClass,
    Hold,
    Outcome,
    Reject,
    Retry,
    Skip,
    SubscriberName,
)
from streamer.known_secrets import KNOWN
from streamer.observe import redaction
from streamer.observe.subscriber_status import LastFailure

_KINDS = frozenset(get_args(Outcome))
_TEXT_CHARACTERS = 2_000
_ANSWER_BYTES = 20_000
_log = structlog.get_logger()


def outcome_of(returned: object) -> Outcome:
    """Return the outcome that `returned` represents, as exactly one of the six types.

    Its texts are bounded and repeat no secret that is in use, its answer is a text
    or a dictionary, and a pause is between zero and a day. A verdict counts even if
    its texts are malformed, because a delivered event must not be delivered again.
    A value that is not an outcome, or whose pause is not a number, becomes a
    `Retry` that says so.
    """
    # Nearly every outcome takes this path, so it must be cheap.
    if type(returned) is Delivered and type(answer := _field(returned, "answer")) is dict:
        hidden = _without_secrets(answer)
        return returned if hidden is answer else Delivered(answer=hidden)
    kind = next((each for each in type(returned).__mro__ if each in _KINDS), None)
    if kind is None:
        return Retry(
            reason=_bounded(f"the plugin returned {type(returned).__name__}, which is not an outcome"),
            failure=FailureClass.PLUGIN_ERROR,
        )
    if kind is Delivered:
        return Delivered(answer=_without_secrets(_mapping(_field(returned, "answer"))))
    if kind is Skip:
        return Skip(reason=_sentence(returned, "reason"), sent=_was_sent(returned))
    return _failure(kind, returned)


def outcomes_of(returned: object, number: int) -> Sequence[Outcome]:
    """Return the outcomes that `returned` holds for `number` deliveries, each as `outcome_of` returns it.

    A `Retry` counts for all of them, and so does a value that does not hold
    exactly as many outcomes: nobody can tell which belongs to which.
    """
    if isinstance(returned, Retry):
        return [outcome_of(returned)] * number
    try:
        # One more than wanted tells that there are too many; some have no end.
        found: list[object] = list(islice(returned, number + 1))  # type: ignore[call-overload] # foreign code
    except BaseException:  # noqa: BLE001 - it is no sequence, or its iterator raises anything
        found = []
    if len(found) == number:
        return [outcome_of(each) for each in found]
    count = f"{len(found)} outcomes" if len(found) < number else "too many outcomes"
    what = f"the plugin returned {count} for {number} deliveries, as {type(returned).__name__}"
    return [Retry(reason=_bounded(what), failure=FailureClass.PLUGIN_ERROR)] * number


def named(error: BaseException) -> str:
    """Return the type and the text of `error`, bounded and with secrets masked."""
    name = type(error).__name__
    try:
        said = f"{name}: {error}"
    except BaseException:  # noqa: BLE001 - a foreign __str__ can raise anything
        said = f"{name}, whose text can't be read"
    return masked(said)


def masked(text: str) -> str:
    """Return `text` as for a log line: bounded and with secrets masked."""
    return _bounded(redaction.masked(text))


def kept(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to keep in a receipt: a small one whole, of a large one the beginning of its text."""
    try:
        is_small = len(orjson.dumps(dict(answer), default=repr)) <= _ANSWER_BYTES
    except BaseException:  # noqa: BLE001 - a foreign __repr__ can raise anything
        is_small = False
    return answer if is_small else _text_of(answer)


def _without_secrets(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        written = orjson.dumps(answer, default=repr)
    except (TypeError, ValueError, RecursionError):
        return _text_of(answer)
    return answer if KNOWN.hidden_bytes(written) == written else KNOWN.hidden_in(answer)


def _failure(kind: type[Any], returned: object) -> Outcome:
    reason, answer = _sentence(returned, "reason"), _excerpt(_text(_field(returned, "answer")))
    if kind is Reject:
        hint = _sentence(returned, "hint")
        failure = _class(returned, FailureClass.REJECTED)
        return Reject(reason=reason, hint=hint, answer=answer, sent=_was_sent(returned), failure=failure)
    failure = _class(returned, FailureClass.OTHER)
    if kind is Disable:
        return Disable(reason=reason, answer=answer, failure=failure)
    asked = _field(returned, "after_s")
    if kind is Retry and asked is None:
        return Retry(reason=reason, answer=answer, failure=failure)
    if (after_s := _seconds(asked)) is None:
        what = f"a {kind.__name__} whose after_s is not a number ({type(asked).__name__})"
        reason = _bounded(f"the plugin returned {what}, which is not an outcome")
        return Retry(reason=reason, answer=answer, failure=FailureClass.PLUGIN_ERROR)
    if kind is Retry:
        return Retry(reason=reason, after_s=after_s, answer=answer, failure=failure)
    alert = _field(returned, "alert") is True
    return Hold(reason=reason, after_s=after_s, answer=answer, alert=alert, failure=failure)


def _class(returned: object, usual: FailureClass) -> FailureClass:
    # A word of a plugin's own would be a label without bound.
    value = _field(returned, "failure")
    return value if isinstance(value, FailureClass) else usual


def _field(returned: object, name: str) -> object:
    try:
        return getattr(returned, name)
    except BaseException:  # noqa: BLE001 - a subclass can define the field as a property
        return f"its {name} can't be read"


def _was_sent(returned: object) -> bool:
    return _field(returned, "sent") is not False


def _sentence(returned: object, name: str) -> str:
    value = _field(returned, name)
    if isinstance(value, str):
        return _bounded(KNOWN.hidden(str.__str__(value)))
    # For example an exception in place of its text.
    return masked(_text(value))


def _text(value: object) -> str:
    if isinstance(value, str):
        # Not str(): a subclass can override it, as the members of an enum do.
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else _shown(value)


def _shown(value: object) -> str:
    try:
        return str.__str__(repr(value))
    except RecursionError:
        return "It is nested too deeply to be kept."
    except BaseException:  # noqa: BLE001 - a foreign __repr__ can raise anything
        return f"A {type(value).__name__} that can't be shown."


def _mapping(answer: object) -> Mapping[str, Any]:
    # The mapping can read from a resource that is closed by now.
    with suppress(BaseException):
        if isinstance(answer, Mapping):
            return dict(answer)
    return _text_of(answer)


def _text_of(answer: object) -> Mapping[str, Any]:
    return {"text": _excerpt(_shown(answer))}


def _seconds(asked: object) -> float | None:
    """Return the pause that was `asked` for, at most a day; `None` if it is not a number."""
    if not isinstance(asked, int | float):
        return None
    try:
        seconds = float(asked)
    except BaseException:  # noqa: BLE001 - an integer too large for a float, or a foreign __float__
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE_S)


def _excerpt(text: str) -> str:
    # Cut after it: half a secret would not be known.
    return (
        KNOWN.hidden(text)[:_ANSWER_BYTES]
        .encode("utf-8", "replace")[:_ANSWER_BYTES]
        .decode("utf-8", "ignore")
    )


def _bounded(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"


_QUIET_S = 10.0


@dataclass(slots=True, kw_only=True)
class Failures:
    """Says once that attempts begin to fail, with the error, and once that they have stopped failing.

    They have stopped when one succeeds, none has failed for 10 s, and no event
    waits in the log for another attempt.
    """

    name: SubscriberName
    clock: Clock
    last: LastFailure | None = field(default=None, init=False)
    _began_at: float = field(default=0.0, init=False)

    def failed(self, event_id: EventId, outcome: Retry | Hold, trace_id: str = "") -> None:
        """Note a failed attempt; a hold has its own log line."""
        error, failure = outcome.reason, outcome.failure
        if self.last is None:
            self._began_at = self.clock.now()
            if isinstance(outcome, Retry):
                about = {"event_id": event_id, "failure": failure, "error": error}
                if trace_id:
                    about["trace_id"] = trace_id
                _log.warning("subscriber.failing", subscriber=self.name, **about)
        count = 1 if self.last is None else self.last.count + 1
        self.last = LastFailure(error=error, failure=failure, at=self.clock.now(), count=count)

    def worked(self, parked: int) -> None:
        """Note a successful attempt, while `parked` events wait in the log for another one."""
        last = self.last
        if last is None or parked or self.clock.now() < last.at + _QUIET_S:
            return
        seconds = round(self.clock.now() - self._began_at)
        _log.info("subscriber.recovered", subscriber=self.name, failures=last.count, after_s=seconds)
        self.last = None


_LEAST_S = 0.1
_MOST_IN_MEMORY_S = 30.0
# A third of the time within which a Kafka client must poll again.
_ALL_IN_MEMORY_S = 100.0
_MOST_ATTEMPTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Exponential back-off with full jitter, for a limited number of attempts.

    Full jitter (any delay between zero and the ceiling) spreads the keys that
    failed together. `give_up_after_s` is how long an event is tried: the mean
    delays between its attempts, and the time that the attempts take. Time in
    which nothing is tried does not count. The first `fast_tries` retries are
    made from memory.
    """

    first_delay_s: float
    max_delay_s: float
    give_up_after_s: float
    fast_tries: int = 3
    jitter: Jitter = random.uniform

    @property
    def attempts(self) -> int:
        """Number of attempts at an event before it is set aside, if they take no time."""
        backoff, total_s, attempts = self._backoff, 0.0, 1
        while total_s < self.give_up_after_s and attempts < _MOST_ATTEMPTS:
            total_s += backoff.ceiling_s(attempts) / 2
            attempts += 1
        return attempts

    def is_over(self, attempts: int, tried_s: float) -> bool:
        """Return true after the last of `attempts` at an event, which took `tried_s` together.

        An event is tried twice, even if one attempt takes all of the time.
        """
        if attempts >= self.attempts:
            return True
        delays_s = sum(self._backoff.ceiling_s(each) / 2 for each in range(1, attempts))
        return attempts > 1 and delays_s + tried_s >= self.give_up_after_s

    def delay_s(self, attempts: int, *, asked_s: float | None = None) -> float:
        """Return the seconds to wait after `attempts` (at least 1) failed attempts.

        `asked_s`, which the target asked for, takes precedence, but is at least
        a tenth of a second, to prevent a storm, and at most `give_up_after_s`.
        """
        if asked_s is not None:
            return max(_LEAST_S, min(asked_s, self.give_up_after_s))
        return self._backoff.delay_s(attempts)

    def is_fast(self, attempts: int, delay_s: float) -> bool:
        """Return true if the retry after `attempts` failed attempts is made from memory."""
        if attempts > self.fast_tries:
            return False
        return delay_s <= min(_MOST_IN_MEMORY_S, _ALL_IN_MEMORY_S / self.fast_tries)

    @property
    def _backoff(self) -> Backoff:
        return Backoff(first_s=self.first_delay_s, limit_s=self.max_delay_s, jitter=self.jitter)
