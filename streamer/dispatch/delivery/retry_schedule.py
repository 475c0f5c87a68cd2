"""Schedule of one subscriber's retries, and log lines about its failures."""

import random
from dataclasses import dataclass, field

import structlog

from streamer.backoff import Backoff, Jitter
from streamer.clock import Clock
from streamer.events import EventId, Hold, Retry, SubscriberName
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
    """

    name: SubscriberName
    clock: Clock
    last: LastFailure | None = field(default=None, init=False)
    _has_worked: bool = field(default=False, init=False)

    def failed(self, event_id: EventId, outcome: Retry | Hold, trace_id: str = "") -> None:
        """Note a failed attempt; a hold has its own log line."""
        error, failure, now = outcome.reason, outcome.failure, self.clock.now()
        if self.last is not None and self._has_worked and now >= self.last.at + _QUIET_S:
            # These attempts are another row: an attempt has succeeded, and then nothing failed for long.
            self._recovered(self.last)
        last, self._has_worked = self.last, False
        if last is None and isinstance(outcome, Retry):
            about = {"event_id": event_id, "failure": failure, "error": error}
            if trace_id:
                about["trace_id"] = trace_id
            _log.warning("subscriber.failing", subscriber=self.name, **about)
        self.last = LastFailure(
            error=error,
            failure=failure,
            since=now if last is None else last.since,
            at=now,
            count=1 if last is None else last.count + 1,
        )

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
        last, self.last = self.last, None
        if last is not None:
            _log.info("subscriber.gave_up", subscriber=self.name, failures=last.count)

    def _recovered(self, last: LastFailure) -> None:
        seconds = round(self.clock.now() - last.since)
        _log.info("subscriber.recovered", subscriber=self.name, failures=last.count, after_s=seconds)
        self.last = None


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
        """Return whether `attempts` attempts, which took `tried_s` in total, were the last for an event.

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
