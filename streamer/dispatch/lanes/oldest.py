"""Age of the oldest event that one subscriber has not been delivered."""

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
        self._at: float | None = None

    @property
    def waited_s(self) -> float:
        """Seconds since the oldest event was committed in Salesforce; 0 while none waits."""
        self._search_when_due()
        return 0.0 if self._at is None else max(0.0, self._clock.now() - self._at)

    def _search_when_due(self) -> None:
        now = self._clock.monotonic()
        if now < self._next_search_at:
            return
        times = [at for lane in self._lanes if (at := _waits_since(lane)) is not None]
        self._at = min(times, default=None)
        self._next_search_at = now + len(times) // _LANES_A_SECOND


def _waits_since(lane: Lane) -> float | None:
    """Return the time from which on the lane's head waits, in epoch seconds."""
    if lane.awaited is not None:
        return None
    if lane.entries:
        return datetime.fromisoformat(lane.head.event.time).timestamp()
    # The event is in the log only. It failed soon after it came.
    return lane.first_failed_at
