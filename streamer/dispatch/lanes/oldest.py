"""Time of the oldest event that one subscriber has not been delivered."""

from datetime import datetime

from streamer.clock import Clock
from streamer.dispatch.lanes.lane import Lane
from streamer.dispatch.lanes.lanes import Lanes

# With 100,000 parked keys, a search takes some ten milliseconds of the event loop.
_LANES_A_SECOND = 1_000


class OldestEvent:
    """Finds the oldest undelivered event of a subscriber among the heads of its lanes.

    An event that waits for the receipts of others (`after`) is left out: it is
    late only if they are. A search through many lanes serves for some seconds.
    """

    def __init__(self, lanes: Lanes, clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._next_search_at = 0.0
        self._committed_at: float | None = None

    @property
    def committed_at(self) -> float | None:
        """Time at which the event was committed in Salesforce, in epoch seconds; `None` while none waits."""
        now = self._clock.monotonic()
        if now >= self._next_search_at:
            times = [at for lane in self._lanes if (at := _waits_since(lane)) is not None]
            self._committed_at = min(times, default=None)
            self._next_search_at = now + len(times) // _LANES_A_SECOND
        return self._committed_at


def _waits_since(lane: Lane) -> float | None:
    """Return the time from which on the lane's head waits, in epoch seconds."""
    if lane.awaited is not None:
        return None
    if lane.entries:
        return datetime.fromisoformat(lane.head.event.time).timestamp()
    # The event is in the log only. It failed soon after it came.
    return lane.first_failed_at
