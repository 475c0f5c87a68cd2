"""Status of one subscriber at one moment, and parked keys."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from streamer.events import FailureClass, Partition
from streamer.observe.durations import duration
from streamer.observe.redaction import masked

_ERROR_LIMIT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """Last failed attempt: one of `count` failures in a row, which began `since`; times are epoch seconds.

    After a restart, the attempts at parked events are known from the log.
    """

    error: str
    failure: FailureClass
    since: float
    at: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStatus:
    """Waiting events of a subscriber, and the reason why they are not delivered.

    `lag` counts the unsettled events in the log. `waiting` counts events in memory, and
    `parked` counts events that the log keeps for a later attempt. `in_flight` counts
    attempts, which never exceed `limit`. `hindrance` is the reason why no attempt
    begins, and empty while attempts can begin. `is_held` is true for every reason
    except an exhausted rate, which needs no attention. `last_failure` is set while
    attempts fail and events wait or are parked. `next_try_at` (epoch seconds) is the
    earliest time of the next attempt, or `None` when an attempt can begin now, when no
    event waits, and while the subscriber is paused. `is_down` is true while the breaker
    is open, or probes with one event at a time; `down_since` is then the time of the
    first failure after the target last answered. It is computed from this process's
    attempts and from the stored attempts at parked events. `oldest_at` is the commit
    time of the oldest undelivered event, in epoch seconds; after `deliver_within_s` the
    event is late. `at` is the time of this status.
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
    down_since: float | None = None
    oldest_at: float | None = None
    deliver_within_s: float | None = None
    last_failure: LastFailure | None = None
    next_try_at: float | None = None

    @property
    def trouble(self) -> str:
        """Sentence with the reason why events are not delivered, or an empty text. Secrets are masked."""
        last = self.last_failure
        # Refused credentials are both the hold and the last failure; one mention is enough.
        is_told = last is not None and last.error == self.hindrance
        parts = [self.lateness] if self.lateness else []
        parts += [self.hindrance.rstrip(".")] if self.is_held and not is_told else []
        if last is not None:
            said = f"{last.count} attempts failed" if last.count > 1 else "1 attempt failed"
            parts.append(f"{said}, last at {_time(last.at)} ({last.failure}): {last.error[:_ERROR_LIMIT]}")
        if parts and self.next_try_at is not None:
            parts.append(f"next attempt at {_time(self.next_try_at)}")
        return masked(", ".join(parts))

    @property
    def waited_s(self) -> float:
        """Seconds since Salesforce committed the oldest undelivered event; 0 while no event waits."""
        return 0.0 if self.oldest_at is None else max(0.0, self.at - self.oldest_at)

    @property
    def lateness(self) -> str:
        """Sentence about an event that waits longer than `deliver_within` allows, or an empty text."""
        if self.deliver_within_s is None or self.waited_s <= self.deliver_within_s:
            return ""
        waited, allowed = duration(self.waited_s), duration(self.deliver_within_s)
        return f"the oldest event has waited for {waited}, but deliver_within is {allowed}"


class Standing(StrEnum):
    """State of one event at a subscriber, as the process that owns the event's partition knows it."""

    WAITING = "waiting"
    RETRYING = "retrying"
    """An attempt has failed, or an earlier event of the same key is retried."""
    SETTLED = "settled"


class ParkedState(StrEnum):
    """Reason why a parked key waits."""

    WAITING = "waiting"
    """The key waits for the time of its next attempt."""
    DUE = "due"
    """The key waits for its turn, or for the end of a pause, a hold or an open breaker."""
    TRYING = "trying"
    """The key waits for the end of a running attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedKey:
    """Key whose `events` the log keeps, because the first event keeps failing.

    `key` is the name of the lane: empty with `order: partition`, and an offset with
    `order: none`. `offset` is the first event's position in `partition`.
    `attempts`, times (epoch seconds) and errors belong to the first event.
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
    """The first `keys` of `total` parked keys, ordered by due time."""

    total: int
    keys: tuple[ParkedKey, ...]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
