"""Schedule of one subscriber's retries, and log lines about its failures."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff, Jitter
from streamer.clock import Clock
from streamer.events import EventId, FailedAttempt, FailureClass, Hold, ParkedLane, Retry, SubscriberName
from streamer.observe.subscriber_status import LastFailure

_QUIET_S = 10.0
_LEAST_S = 0.1
_MOST_IN_MEMORY_S = 30.0
# A third of the time within which a Kafka client must poll again.
_ALL_IN_MEMORY_S = 100.0
_MOST_ATTEMPTS = 100_000
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Failures:
    """Logs one line when attempts begin to fail, and one line when they have stopped failing.

    Attempts have stopped failing when three conditions hold: an attempt succeeds, no
    attempt has failed for 10 s, and no parked event waits for another attempt. They
    have also stopped when the last waiting event became a dead letter.

    `is_unproven` is true until the target first answers, and again from each failure to
    the next answer. `down_since` is the time of the first failure after the last
    answer. A failed attempt does not set `down_since` if its event had already failed
    before that answer: then the event can be the cause, and not the target.
    """

    name: SubscriberName
    clock: Clock
    last: LastFailure | None = field(default=None, init=False)
    is_unproven: bool = field(default=True, init=False)
    down_since: float | None = field(default=None, init=False)
    _has_worked: bool = field(default=False, init=False)
    _answered_at: float | None = field(default=None, init=False)
    _is_logged: bool = field(default=False, init=False)

    def failed(
        self, event_id: EventId, outcome: Retry | Hold, trace_id: str = "", *, fails_since: float = math.inf
    ) -> None:
        """Note a failed attempt at an event that `fails_since` then; a hold has its own log line."""
        error, failure, now = outcome.reason, outcome.failure, self.clock.now()
        if self.last is not None and self._has_worked and now >= self.last.at + _QUIET_S:
            # This failure begins a new series, because an attempt has succeeded, and then nothing failed for
            # a while.
            self._recovered(self.last)
        last, self._has_worked, self.is_unproven = self.last, False, True
        if not self._is_logged and isinstance(outcome, Retry):
            about = {"event_id": event_id, "failure": failure, "error": error}
            if trace_id:
                about["trace_id"] = trace_id
            _log.warning("subscriber.failing", subscriber=self.name, **about)
        self._is_logged = True
        if self.down_since is None and (self._answered_at is None or fails_since >= self._answered_at):
            self.down_since = now
        self.last = LastFailure(
            error=error,
            failure=failure,
            since=now if last is None else last.since,
            at=now,
            count=1 if last is None else last.count + 1,
        )

    def restored(self, lanes: Iterable[ParkedLane]) -> None:
        """Take over the failures of parked `lanes`, whose attempts another process has made."""
        rows = [row for lane in lanes if (row := _failed_attempts(lane))]
        if not rows:
            return
        latest, since = max((row[-1] for row in rows), key=_time_of), min(row[0].at for row in rows)
        before = LastFailure(
            error=latest.error,
            failure=latest.failure,
            since=since,
            at=latest.at,
            count=sum(map(len, rows)),
        )
        last = self.last or before
        self.last = replace(max(last, before, key=_time_of), since=min(last.since, since))
        # The events that wait don't show when the target last answered, but this process can know it.
        if self._answered_at is None:
            self.down_since = since if self.down_since is None else min(self.down_since, since)

    @property
    def has_answered(self) -> bool:
        """True if the target has answered in this process."""
        return self._answered_at is not None

    def answered(self) -> None:
        """Note that the target works: it accepted or rejected an event, and the breaker is closed."""
        self.is_unproven, self.down_since, self._answered_at = False, None, self.clock.now()

    def worked(self, parked: int) -> None:
        """Note a successful attempt; `parked` is the number of parked events."""
        last = self.last
        if last is None or parked:
            return
        self._has_worked = True
        if self.clock.now() >= last.at + _QUIET_S:
            self._recovered(last)

    def gave_up(self) -> None:
        """Note that the last waiting event became a dead letter, so that nothing can fail any more."""
        last, self.last, self._is_logged = self.last, None, False
        if last is not None:
            _log.info("subscriber.gave_up", subscriber=self.name, failures=last.count)

    def _recovered(self, last: LastFailure) -> None:
        seconds = round(self.clock.now() - last.since)
        _log.info("subscriber.recovered", subscriber=self.name, failures=last.count, after_s=seconds)
        self.last, self._is_logged = None, False


def _failed_attempts(lane: ParkedLane) -> Sequence[FailedAttempt]:
    """Return the failed attempts at the lane's head; a target that asks for fewer requests has not failed."""
    setback = lane.setback
    kept = [each for each in setback.failed_attempts if each.failure is not FailureClass.RATE_LIMITED]
    if kept or not setback.attempts:
        return kept
    # An earlier version of Streamer has parked the lane, and kept no attempts.
    first = FailedAttempt(
        at=setback.first_failed_at, seconds=0.0, failure=FailureClass.OTHER, error=setback.last_error
    )
    return [first]


def _time_of(failure: LastFailure | FailedAttempt) -> float:
    return failure.at


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Exponential back-off with full jitter, for a limited number of attempts.

    Full jitter (any delay between zero and the ceiling) spreads keys that failed at the
    same time. `give_up_after_s` limits how long an event is tried. This time is the sum
    of the mean delays between the attempts and of the durations of the attempts. Time
    without attempts, such as a pause, does not count. The first `fast_tries` retries
    are made from memory.
    """

    first_delay_s: float
    max_delay_s: float
    give_up_after_s: float
    fast_tries: int = 3
    jitter: Jitter = random.uniform

    @property
    def attempts(self) -> int:
        """Number of attempts at an event before the event becomes a dead letter, if attempts take no time."""
        backoff, total_s, attempts = self._backoff, 0.0, 1
        while total_s < self.give_up_after_s and attempts < _MOST_ATTEMPTS:
            total_s += backoff.ceiling_s(attempts) / 2
            attempts += 1
        return attempts

    def is_over(self, attempts: int, tried_s: float) -> bool:
        """Return whether an event gets no attempt after `attempts` attempts of `tried_s` seconds in total.

        An event is tried at least twice, even if one attempt takes the whole time.
        """
        if attempts >= self.attempts:
            return True
        delays_s = sum(self._backoff.ceiling_s(each) / 2 for each in range(1, attempts))
        return attempts > 1 and delays_s + tried_s >= self.give_up_after_s

    def delay_s(self, attempts: int, *, asked_s: float | None = None) -> float:
        """Return the seconds to wait after `attempts` (at least 1) failed attempts.

        A delay `asked_s` that the target asked for takes precedence. This delay is at
        least a tenth of a second, to prevent a storm of attempts, and at most
        `give_up_after_s`.
        """
        if asked_s is not None:
            return max(_LEAST_S, min(asked_s, self.give_up_after_s))
        return self._backoff.delay_s(attempts)

    def is_fast(self, attempts: int, delay_s: float) -> bool:
        """Return whether the retry after `attempts` failed attempts is made from memory."""
        if attempts > self.fast_tries:
            return False
        return delay_s <= min(_MOST_IN_MEMORY_S, _ALL_IN_MEMORY_S / self.fast_tries)

    @property
    def _backoff(self) -> Backoff:
        return Backoff(first_s=self.first_delay_s, limit_s=self.max_delay_s, jitter=self.jitter)
