"""How one subscriber stands at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStatus:
    """What a subscriber has before it, and what keeps it from that.

    `lag` events of the log are not settled, of which `waiting` are in memory;
    `parked` ones the log keeps until they are tried again. `in_flight` attempts
    are under way, and `limit` may be. `hindrance` says why nothing is tried,
    and is empty while something is; `is_held` leaves out that the configured
    rate is used up, which is no trouble. `is_down` tells whether the breaker
    is open, or asks with one event at a time.
    """

    lag: int
    waiting: int
    parked: int
    in_flight: int
    limit: int
    hindrance: str
    is_held: bool
    is_down: bool
