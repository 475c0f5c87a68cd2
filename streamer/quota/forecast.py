"""Forecast of the time at which an allowance will be used up."""

from collections import deque
from dataclasses import dataclass, field

from streamer.quota.limits import Limit

WINDOW_S = 3600.0
"""Time span in seconds of the readings that determine the rate."""

# Salesforce's numbers are accurate within five minutes, so a shorter time gives no rate.
_LEAST_S = 900.0
_HORIZON_S = 24 * 3600.0
_MOST_READINGS = 64


@dataclass(slots=True)
class Forecast:
    """Extrapolates the remainder of an allowance in a rolling 24 hours.

    The remainder falls with use, and recovers 24 hours after the use; only the sum
    of use and recovery can be seen. The forecast assumes that the last hour's trend
    continues. There is no forecast in three cases: less than 15 minutes are known,
    the remainder does not fall, or the remainder lasts for more than 24 hours,
    because today's use has recovered by then.
    """

    _readings: deque[tuple[float, Limit]] = field(default_factory=lambda: deque(maxlen=_MOST_READINGS))

    def add(self, limit: Limit | None, read_at: float) -> None:
        """Add a reading at `read_at` in monotonic seconds; `None` if the org does not have the limit."""
        if limit is None or (self._readings and self._readings[-1][1].most != limit.most):
            # If the maximum has changed, the difference of two remainders does not measure use.
            self._readings.clear()
        if limit is not None:
            self._readings.append((read_at, limit))
        self.forget_before(read_at - WINDOW_S)

    def forget_before(self, read_at: float) -> None:
        """Drop the readings before `read_at`."""
        while self._readings and self._readings[0][0] < read_at:
            self._readings.popleft()

    def seconds_left(self) -> float | None:
        """Return the seconds between the last reading and the end of the allowance, or `None`."""
        if not self._readings or not self._readings[-1][1].most:
            return None
        (began, first), (ended, last) = self._readings[0], self._readings[-1]
        if not last.remaining:
            return 0.0
        used, seconds = first.remaining - last.remaining, ended - began
        if seconds < _LEAST_S or used <= 0:
            return None
        left_s = last.remaining * seconds / used
        return left_s if left_s <= _HORIZON_S else None


def headroom(limit: Limit) -> float | None:
    """Return how many times the use of the last 24 hours fits into a rolling allowance.

    At an even rate, use recovers a day later, so one reading is enough: the rate can
    continue if the result is at least 1.0. `None` if nothing was used.
    """
    used = limit.most - limit.remaining
    return limit.most / used if used > 0 else None
