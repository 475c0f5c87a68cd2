"""Whether a target that keeps failing is left alone."""

import random
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from streamer.backoff import Backoff, Delays, Jitter
from streamer.clock import Clock

LaneT = TypeVar("LaneT", bound=Hashable)

# Of the shortest time that it stays open.
_COURTESY = 0.2
_REMEMBERED = 1_000


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until its time is over."""
    HALF_OPEN = "half_open"
    """One attempt at a time, to learn whether the target is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a breaker opens, and for how long.

    It opens when at least `failure_ratio` of the last `window` attempts failed,
    and there were `minimum` of them, none older than `window_s`. Because the
    window is counted, 35 failures open it however busy the target was before,
    which takes a part of a second at normal traffic; and it is long in time so
    that few keys whose attempts all time out fill it too.

    The first time it stays open for `open_s`, then twice as long after each
    failed probe, up to `max_open_s`: a target that is back waits no longer.
    """

    failure_ratio: float = 0.7
    minimum: int = 10
    window: int = 50
    window_s: float = 300.0
    open_s: float = 5.0
    max_open_s: float = 60.0


class Permit(NamedTuple, Generic[LaneT]):
    """Leave to make one attempt for `lane`, given after so many `outages`."""

    lane: LaneT
    outages: int


class _Ended(NamedTuple, Generic[LaneT]):
    at: float
    lane: LaneT
    failed: bool


class CircuitBreaker(Generic[LaneT]):
    """Leaves a target alone while it is down, and learns with one event at a time whether it is back.

    Whoever wants to deliver asks `admit` for a permit, which ends by exactly
    one of `succeeded`, `failed` and `abandoned`, also when its lane is no
    longer ours. Who is refused puts the lane back behind the others, for one of
    those may be admitted, and asks again after `wait_s` or when a permit has
    ended.

    A lane has one name for as long as its key lives; up to a thousand of them
    are remembered. What fails because the target is down costs no attempt, but
    once: a lane that failed in an outage, and again after another lane ended
    it, has itself to blame until it succeeds. Otherwise the broken events of a
    quiet subscriber would open the breaker again and again, and never be set
    aside.
    """

    def __init__(
        self,
        limits: BreakerLimits,
        clock: Clock,
        *,
        jitter: Jitter = random.uniform,
    ) -> None:
        """Begin closed; `jitter` picks between half and the whole of each time that it stays open."""
        self._limits = limits
        self._clock = clock
        self._window: deque[_Ended[LaneT]] = deque(maxlen=max(limits.window, limits.minimum))
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
        """What it lets through now."""
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock.monotonic() < self._until else BreakerState.HALF_OPEN

    @property
    def reason(self) -> str:
        """Why not everything goes through; empty while it is closed."""
        return self._reason

    def admit(self, lane: LaneT) -> Permit[LaneT] | None:
        """Return leave for an attempt of `lane` that begins now, or `None` if it may not."""
        if self.wait_s(lane) != 0:
            return None
        permit = Permit(lane=lane, outages=self._outages)
        if self._until is not None:
            self._probe = permit
            self._probes += 1
            _remember(self._probed, lane, self._probes)
        return permit

    def wait_s(self, lane: LaneT) -> float | None:
        """Return in how many seconds `lane` may be admitted; `None` when a probe has to end first.

        A lane that was probed in this outage lets the others ask first for a
        moment, the longer the later that was; alone, it still gets its turn.
        """
        if self._until is None:
            return 0.0
        if self._probe is not None:
            return None
        return max(0.0, self._until + self._courtesy_s(lane) - self._clock.monotonic())

    def succeeded(self, permit: Permit[LaneT]) -> None:
        """Note that the target took the event, or refused it for the event's own sake.

        A probe's success closes the breaker, which then knows of no failure.
        The success of an attempt that began before an outage says nothing of
        it: a target that fails for the most part succeeds at times, and a probe
        will soon tell.
        """
        self._excused.pop(permit.lane, None)
        if permit is self._probe:
            self._close()
        elif not self._is_late(permit):
            self._note(permit.lane, failed=False)

    def failed(self, permit: Permit[LaneT]) -> Mapping[LaneT, int]:
        """Note that the target failed; return the lanes whose attempts are given back, and how many of each.

        These are the failures in the window if this one opens the breaker; and
        this one alone if it was a probe, or began before an outage. A head can
        have spent fewer, when the one before it was set aside.
        """
        if permit is self._probe:
            self._excused.pop(permit.lane, None)
            self._leave_alone()
            return self._given_back({permit.lane: 1})
        if self._is_late(permit):
            return self._given_back({permit.lane: 1})
        self._note(permit.lane, failed=True)
        return self._open() if self._is_too_much() else {}

    def abandoned(self, permit: Permit[LaneT]) -> None:
        """Note that an attempt ended which says nothing about whether the target works.

        It was cancelled, say, or the target asked for a pause. If it was a
        probe, the next one may begin at once.
        """
        if permit is self._probe:
            self._probe = None
            self._until = self._clock.monotonic()

    def _is_late(self, permit: Permit[LaneT]) -> bool:
        return permit.outages < self._outages

    def _note(self, lane: LaneT, *, failed: bool) -> None:
        now = self._clock.monotonic()
        while self._window and self._window[0].at < now - self._limits.window_s:
            self._window.popleft()
        self._window.append(_Ended(at=now, lane=lane, failed=failed))

    def _is_too_much(self) -> bool:
        ended, failed = len(self._window), sum(each.failed for each in self._window)
        return ended >= self._limits.minimum and failed >= self._limits.failure_ratio * ended

    def _open(self) -> Mapping[LaneT, int]:
        failed = sum(each.failed for each in self._window)
        self._reason = (
            f"{failed} of the last {len(self._window)} attempts failed; the target is tried with one event "
            "at a time until it takes one, and no attempt counts until then."
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
                # What failed before is delivered, and its attempts with it.
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

    def _courtesy_s(self, lane: LaneT) -> float:
        number = self._probed.get(lane)
        if number is None:
            return 0.0
        return _COURTESY * self._limits.open_s / (1 + self._probes - number)


def _remember(numbers: dict[LaneT, int], lane: LaneT, number: int) -> None:
    """Note the latest number of `lane`, and forget the oldest lane when there are many."""
    numbers.pop(lane, None)
    numbers[lane] = number
    if len(numbers) > _REMEMBERED:
        del numbers[next(iter(numbers))]
