"""Status of one subscriber at one moment, and its parked keys."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from streamer.events import FailureClass, Partition
from streamer.observe.durations import duration
from streamer.observe.redaction import masked

_ERROR_LIMIT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """Last failed attempt, `at` in epoch seconds, and the `count` of them since they began."""

    error: str
    failure: FailureClass
    at: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStatus:
    """Work before a subscriber, and the reason for which it is not done.

    `lag` events of the log are not settled; `waiting` ones of them are in
    memory, and `parked` ones are kept by the log for a later attempt. There
    are `in_flight` attempts, at most `limit`. `hindrance` is the reason for
    which no attempt begins, and empty while attempts can begin. `is_held` is
    true for every reason except an exhausted rate, which needs no attention.
    `last_failure` is there while attempts fail. `next_try_at` (epoch seconds)
    is the time before which no attempt begins; `None` when an attempt can
    begin now, when nothing waits, and while the subscriber is paused.
    `is_down` is true while the breaker is open, or probes with one event at a
    time. `oldest_at` is the commit time of the oldest undelivered event, in
    epoch seconds; after `deliver_within_s` the event is late. `at` is the time
    of this status.
    """

    lag: int
    waiting: int
    parked: int
    in_flight: int
    limit: int
    hindrance: str
    is_held: bool
    is_down: bool
    at: float = 0.0
    oldest_at: float | None = None
    deliver_within_s: float | None = None
    last_failure: LastFailure | None = None
    next_try_at: float | None = None

    @property
    def trouble(self) -> str:
        """Sentence on why events are not delivered; empty while they are. Secrets are masked."""
        last = self.last_failure
        # A hold for refused credentials is the last failure too, and is told once.
        is_told = last is not None and last.error == self.hindrance
        parts = [self.lateness] if self.lateness else []
        parts += [self.hindrance] if self.is_held and not is_told else []
        if last is not None:
            said = f"{last.count} attempts failed" if last.count > 1 else "1 attempt failed"
            parts.append(f"{said}, last at {_time(last.at)} ({last.failure}): {last.error[:_ERROR_LIMIT]}")
        if parts and self.next_try_at is not None:
            parts.append(f"next attempt at {_time(self.next_try_at)}")
        return masked(", ".join(parts))

    @property
    def waited_s(self) -> float:
        """Seconds since the oldest undelivered event was committed in Salesforce; 0 while none waits."""
        return 0.0 if self.oldest_at is None else max(0.0, self.at - self.oldest_at)

    @property
    def lateness(self) -> str:
        """Sentence on an event that waits for longer than `deliver_within` allows; empty without one."""
        if self.deliver_within_s is None or self.waited_s <= self.deliver_within_s:
            return ""
        waited, allowed = duration(self.waited_s), duration(self.deliver_within_s)
        return f"the oldest event has waited for {waited}, and deliver_within is {allowed}"


class ParkedState(StrEnum):
    """Reason why a parked key waits."""

    WAITING = "waiting"
    """For the time of its next attempt."""
    DUE = "due"
    """For its turn, or for the end of a pause, a hold or an open breaker."""
    TRYING = "trying"
    """For the end of an attempt that is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    """Key whose `events` the log keeps, because the first of them keeps failing.

    `key` is the name of the lane: empty with `order: partition`, an offset with
    `order: none`. `offset` is the place of the first event in `partition`.
    `attempts`, times (epoch seconds) and errors belong to that event.
    """

    key: str
    partition: Partition
    offset: int
    events: int
    state: ParkedState
    attempts: int
    due_at: float
    first_failed_at: float | None
    first_error: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKeys:
    """Some parked `keys`, those due first at the beginning, of `total` ones."""

    total: int
    keys: tuple[ParkedKey, ...]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
