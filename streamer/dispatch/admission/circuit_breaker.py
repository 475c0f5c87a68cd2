"""Circuit breaker: stops attempts at a target that keeps failing, and probes it."""

import random
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from streamer.backoff import Backoff, Delays, Jitter
from streamer.clock import Clock

LaneT = TypeVar("LaneT", bound=Hashable)

# Longest additional wait of a lane that was probed before, as a fraction of `open_s`.
_REPROBE_DELAY = 0.2
_REMEMBERED = 1_000
# Tolerance for rounding errors in sums of shares; it is smaller than any share.
_ROUNDING = 1e-6


class BreakerState(StrEnum):
    """State of a breaker, by the attempts that it admits."""

    CLOSED = "closed"
    """Admits every attempt."""
    OPEN = "open"
    """Admits no attempt until the open time has passed."""
    HALF_OPEN = "half_open"
    """Admits one attempt at a time, to find out whether the target works again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """Thresholds at which a breaker opens, and the durations for which it stays open.

    The breaker opens when at least `failure_ratio` of the last `window` attempts
    failed. There must be at least `minimum` attempts, and attempts older than
    `window_s` seconds do not count. The window counts attempts, so 35 failures open the
    breaker, however busy the target was before. At normal traffic, 35 failures take a
    fraction of a second. `window_s` is long, so that a few keys whose attempts all time
    out also fill the window.

    The breaker first stays open for `open_s` seconds. Each failed probe doubles this
    time, up to `max_open_s`. A target that works again gets events again after at most
    `max_open_s` seconds.
    """

    failure_ratio: float = 0.7
    minimum: int = 10
    window: int = 50
    window_s: float = 300.0
    open_s: float = 5.0
    max_open_s: float = 15.0


class Permit(NamedTuple, Generic[LaneT]):
    """Permission for one attempt of `lane`; `outages` counts the outages that began before the attempt."""

    lane: LaneT
    outages: int


class _Ended(NamedTuple, Generic[LaneT]):
    at: float
    lane: LaneT
    failed: bool
    share: float


class _Window(Generic[LaneT]):
    """The latest attempts, with a total weight of at most `size`.

    The attempts of one call have a total weight of 1.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._attempts: deque[_Ended[LaneT]] = deque()
        self.weight = 0.0
        self.failed_weight = 0.0

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[_Ended[LaneT]]:
        return iter(self._attempts)

    def add(self, ended: _Ended[LaneT], *, since: float) -> None:
        """Add an attempt; drop attempts that ended before `since`, and attempts above the limit."""
        attempts = self._attempts
        attempts.append(ended)
        self.weight += ended.share
        self.failed_weight += ended.share * ended.failed
        while attempts[0].at < since or self.weight > self._size + _ROUNDING:
            oldest = attempts.popleft()
            self.weight -= oldest.share
            self.failed_weight -= oldest.share * oldest.failed

    def clear(self) -> None:
        """Drop all attempts."""
        self._attempts.clear()
        self.weight = self.failed_weight = 0.0


class CircuitBreaker(Generic[LaneT]):
    """Stops attempts at a target while the target is down, and tests the target with one event at a time.

    Before an attempt, the caller asks `admit` for a permit. Each permit must end by
    exactly one call of `succeeded`, `failed` or `abandoned`, even if its lane was lost
    in the meantime. After a refusal, the caller tries the other lanes first, because
    the breaker can admit these lanes. The caller asks for the refused lane again after
    `wait_s` seconds, or when a permit has ended.

    The name of a lane never changes for the same key, and the breaker remembers up to a
    thousand lanes. The failures of a lane during an outage do not count as attempts,
    but this applies to only one outage. If a lane fails in an outage, and again after
    another lane has ended this outage, the later failures count until the lane
    succeeds. Otherwise, the broken events of a subscriber with little traffic would
    open the breaker again and again, and would never become dead letters.
    """

    def __init__(
        self,
        limits: BreakerLimits,
        clock: Clock,
        *,
        jitter: Jitter = random.uniform,
    ) -> None:
        """Begin closed; `jitter` makes each open time random, between half of the time and the whole time."""
        self._limits = limits
        self._clock = clock
        self._window: _Window[LaneT] = _Window(max(limits.window, limits.minimum))
        self._until: float | None = None
        self._delays = Delays(
            Backoff(
                first_s=limits.open_s,
                limit_s=max(limits.open_s, limits.max_open_s),
                jitter=lambda _, most: jitter(most / 2, most),
            )
        )
        self._reason = ""
        self._outages = 0
        self._excused: dict[LaneT, int] = {}
        self._probe: Permit[LaneT] | None = None
        self._probes = 0
        self._probed: dict[LaneT, int] = {}

    @property
    def state(self) -> BreakerState:
        """Current state."""
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock.monotonic() < self._until else BreakerState.HALF_OPEN

    @property
    def reason(self) -> str:
        """Reason why attempts are refused; empty while the breaker is closed."""
        return self._reason

    @property
    def opens_in_s(self) -> float:
        """Seconds until an attempt can be admitted; 0 while the breaker is closed or a probe is running."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock.monotonic())

    def admit(self, lane: LaneT) -> Permit[LaneT] | None:
        """Return a permit for an attempt of `lane` that begins now; `None` if the breaker refuses it."""
        if self.wait_s(lane) != 0:
            return None
        permit = Permit(lane=lane, outages=self._outages)
        if self._until is not None:
            self._probe = permit
            self._probes += 1
            _remember(self._probed, lane, self._probes)
        return permit

    def wait_s(self, lane: LaneT) -> float | None:
        """Return the seconds until `lane` can be admitted; `None` when a probe must end first.

        A lane that was probed in this outage waits a moment longer than other lanes,
        and the lane that was probed last waits longest. If there is only one lane, this
        lane is still probed.
        """
        if self._until is None:
            return 0.0
        if self._probe is not None:
            return None
        return max(0.0, self._until + self._reprobe_delay_s(lane) - self._clock.monotonic())

    def succeeded(self, permit: Permit[LaneT], share: float = 1.0) -> None:
        """Note that the target accepted the event, or rejected the event because of the event's content.

        A successful probe closes the breaker and clears its failures. The success of an
        attempt that began before the outage proves nothing, because even a target that
        mostly fails succeeds at times. A probe soon shows whether the target works.
        """
        if self._excused:
            self._excused.pop(permit.lane, None)
        if permit is self._probe:
            self._close()
        elif not self._is_late(permit):
            self._note(permit.lane, share, failed=False)

    def failed(self, permit: Permit[LaneT], share: float = 1.0) -> Mapping[LaneT, int]:
        """Note that the target failed; return, by lane, how many failed attempts must not count.

        If this failure opens the breaker, no failure in the window counts. If the
        attempt was a probe, or began before the outage, only this failure does not
        count. The returned number can be higher than the attempts of a lane's current
        head, if the previous head became a dead letter. An attempt counts by its
        `share` of a call, because a call that fails for many lanes says no more about
        the target than a call that fails for one lane.
        """
        if permit is self._probe:
            self._excused.pop(permit.lane, None)
            self._leave_alone()
            return self._given_back({permit.lane: 1})
        if self._is_late(permit):
            return self._given_back({permit.lane: 1})
        self._note(permit.lane, share, failed=True)
        return self._open() if self._is_too_much() else {}

    def abandoned(self, permit: Permit[LaneT]) -> None:
        """Note that an attempt ended without showing whether the target works.

        For example, the attempt was cancelled, or the target asked for a pause. If
        the attempt was a probe, the next probe can begin at once.
        """
        if permit is self._probe:
            self._probe = None
            self._until = self._clock.monotonic()

    def probe_now(self) -> None:
        """Let the next probe begin at once; if this probe fails, the next open time is the shortest again."""
        if self._until is not None:
            self._until = self._clock.monotonic()
            self._delays.reset()

    def _is_late(self, permit: Permit[LaneT]) -> bool:
        return permit.outages < self._outages

    def _note(self, lane: LaneT, share: float, *, failed: bool) -> None:
        now = self._clock.monotonic()
        ended = _Ended(at=now, lane=lane, failed=failed, share=share)
        self._window.add(ended, since=now - self._limits.window_s)

    def _is_too_much(self) -> bool:
        ended, failed = self._window.weight + _ROUNDING, self._window.failed_weight + _ROUNDING
        return ended >= self._limits.minimum and failed >= self._limits.failure_ratio * ended

    def _open(self) -> Mapping[LaneT, int]:
        failed = sum(each.failed for each in self._window)
        self._reason = (
            f"{failed} of the last {len(self._window)} attempts failed. Streamer now tries one event "
            "at a time until the target accepts an event. Attempts in this time do not count towards "
            "the attempt limit of an event."
        )
        failures = self._failures()
        self._window.clear()
        self._outages += 1
        self._delays.reset()
        self._leave_alone()
        return self._given_back(failures)

    def _failures(self) -> dict[LaneT, int]:
        failures: dict[LaneT, int] = {}
        for each in self._window:
            if each.failed:
                failures[each.lane] = failures.get(each.lane, 0) + 1
            else:
                # The lane has delivered the event that failed, so the earlier failures no longer
                # count.
                failures.pop(each.lane, None)
        return failures

    def _leave_alone(self) -> None:
        self._probe = None
        self._until = self._clock.monotonic() + self._delays.next_s()

    def _close(self) -> None:
        self._probe = None
        self._until = None
        self._reason = ""
        self._probed.clear()

    def _given_back(self, failures: Mapping[LaneT, int]) -> dict[LaneT, int]:
        given_back = {
            lane: attempts
            for lane, attempts in failures.items()
            if self._excused.get(lane, self._outages) == self._outages
        }
        for lane in given_back:
            _remember(self._excused, lane, self._outages)
        return given_back

    def _reprobe_delay_s(self, lane: LaneT) -> float:
        number = self._probed.get(lane)
        if number is None:
            return 0.0
        return _REPROBE_DELAY * self._limits.open_s / (1 + self._probes - number)


def _remember(numbers: dict[LaneT, int], lane: LaneT, number: int) -> None:
    """Store the latest number of `lane`; forget the oldest lane when there are too many."""
    numbers.pop(lane, None)
    numbers[lane] = number
    if len(numbers) > _REMEMBERED:
        del numbers[next(iter(numbers))]
