"""For how long the loop stood still."""

from streamer.clock import Clock

_BEATS_A_LIMIT = 4


class Beat:
    """Is struck while the loop turns, and shows afterwards that it did not.

    A process that is stopped, or whose loop a plugin blocks, shows in the time
    between two strokes. A machine that was suspended shows in wall time alone,
    for the monotonic clock may have stood still with it; a wall clock that is
    set forward looks the same.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Take a pause of more than `limit_s` for a standstill."""
        self._clock = clock
        self._limit_s = limit_s
        self.strike()

    @property
    def interval_s(self) -> float:
        """How often it is to be struck."""
        return self._limit_s / _BEATS_A_LIMIT

    def strike(self) -> None:
        """Note that the loop turns."""
        self._struck = self._clock.monotonic()
        self._struck_at = self._clock.now()

    def standstill_s(self) -> float:
        """Return how long the loop has just stood still, once, and 0 when it did not.

        Whoever runs first afterwards is told, whether that is who strikes or
        who wants to deliver.
        """
        since_s = max(self._clock.monotonic() - self._struck, self._clock.now() - self._struck_at)
        if since_s <= self._limit_s:
            return 0.0
        self.strike()
        return since_s
