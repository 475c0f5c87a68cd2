"""Usage of the org's limits in a window of 24 hours."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from streamer.clock import Clock

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
_RESOLUTION_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLimits:
    """Limits of the org within 24 hours; for published events, within an hour.

    The limits are Salesforce's (REST API guide, list org limits), except for
    `delivered_events`: the limit of an Enterprise org, 25,000, would end a load test
    early.
    """

    api_requests: int = 100_000
    delivered_events: int = 10_000_000
    bulk_query_jobs: int = 10_000
    push_topic_events: int = 10_000
    generic_events: int = 10_000
    published_events: int = 250_000


class SlidingWindowQuota:
    """An amount that can be used within a moving window of time.

    `most` can be changed at any time. `total` counts everything since the start. All
    use within one minute leaves the window together, at the time at which the first use
    leaves it.
    """

    def __init__(self, clock: Clock, most: int, *, window_s: float = DAY_S) -> None:
        self.most = most
        self.total = 0
        self._clock = clock
        self._window_s = window_s
        self._used = 0
        self._uses: deque[tuple[float, int]] = deque()

    @property
    def used(self) -> int:
        """Amount that was used within the window; it can be more than `most`."""
        earliest = self._clock.monotonic() - self._window_s
        while self._uses and self._uses[0][0] <= earliest:
            self._used -= self._uses.popleft()[1]
        return self._used

    @property
    def remaining(self) -> int:
        """Amount that can still be used now."""
        return max(0, self.most - self.used)

    @property
    def is_used_up(self) -> bool:
        """True while nothing remains."""
        return self.remaining == 0

    def use(self, amount: int = 1) -> None:
        """Count `amount` as used now, even if less than `amount` remains."""
        now = self._clock.monotonic()
        self.total += amount
        self._used += amount
        if self._uses and now - self._uses[-1][0] < _RESOLUTION_S:
            began_at, so_far = self._uses.pop()
            self._uses.append((began_at, so_far + amount))
        else:
            self._uses.append((now, amount))


class OrgUsage:
    """The allowances of one org, by the names of the limits.

    `delivered_events` counts platform and change events, summed over the clients of
    CometD and of the Pub/Sub API (CDC guide, allocations). `bulk_query_jobs` are the
    query jobs of Bulk API 2.0.
    """

    def __init__(self, clock: Clock, limits: UsageLimits | None = None) -> None:
        most = limits or UsageLimits()
        self.api_requests = SlidingWindowQuota(clock, most.api_requests)
        self.delivered_events = SlidingWindowQuota(clock, most.delivered_events)
        self.bulk_query_jobs = SlidingWindowQuota(clock, most.bulk_query_jobs)
        self.push_topic_events = SlidingWindowQuota(clock, most.push_topic_events)
        self.generic_events = SlidingWindowQuota(clock, most.generic_events)
        self.published_events = SlidingWindowQuota(clock, most.published_events, window_s=HOUR_S)
        self._names = tuple(asdict(most))

    @property
    def allowances(self) -> Mapping[str, SlidingWindowQuota]:
        """All allowances by name."""
        return {name: getattr(self, name) for name in self._names}

    def deliver(self, paths: Iterable[str]) -> None:
        """Count the events that a client gets; `paths` has the channel of each event."""
        for path, count in Counter(paths).items():
            if path.startswith("/topic/"):
                self.push_topic_events.use(count)
            elif path.startswith("/u/"):
                self.generic_events.use(count)
            else:
                self.delivered_events.use(count)


def counts_as_delivered(path: str) -> bool:
    """Return whether the events of a channel count towards the delivered platform and change events."""
    return not path.startswith(("/topic/", "/u/"))
