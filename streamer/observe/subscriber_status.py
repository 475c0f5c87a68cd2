"""Status of one subscriber at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFailure:
    """Last failed attempt, `at` in epoch seconds, and the `count` of them since they began."""

    error: str
    at: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStatus:
    """Work before a subscriber, and the reason for which it is not done.

    `lag` events of the log are not settled; `waiting` ones of them are in
    memory, and `parked` ones are kept by the log for a later attempt. There
    are `in_flight` attempts, at most `limit`. `hindrance` is the reason for
    which no attempt begins, and empty while attempts can begin. `is_held` is
    true for every reason except an exhausted rate, which is no trouble.
    `last_failure` is there while attempts fail.
    `is_down` is true while the breaker is open, or probes with one event at a
    time.
    """

    lag: int
    waiting: int
    parked: int
    in_flight: int
    limit: int
    hindrance: str
    is_held: bool
    is_down: bool
    last_failure: LastFailure | None = None
