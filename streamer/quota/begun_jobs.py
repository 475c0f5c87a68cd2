"""Query jobs of the Bulk API that this process began, and that the org's limits may not count yet."""

from collections import deque
from dataclasses import dataclass, field

from streamer.quota.limits import LimitsReading

# The limits are accurate within five minutes (REST API guide, list org limits).
_COUNTED_WITHIN_S = 300.0
_MOST = 20_000


@dataclass(slots=True)
class BegunJobs:
    """Times at which this process has begun jobs, in monotonic seconds."""

    _at: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST))

    def note(self, at: float) -> None:
        """Note a job before it is requested, because the answer can be lost."""
        self._at.append(at)

    def untold(self, reading: LimitsReading) -> int:
        """Return how many jobs a `reading` of the limits may not count yet."""
        since = reading.read_at - _COUNTED_WITHIN_S
        while self._at and self._at[0] < since:
            self._at.popleft()
        return len(self._at)
