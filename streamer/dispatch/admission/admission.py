"""Admission control for one target, which combines pauses, circuit breaker, rate and concurrency."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.admission.circuit_breaker import BreakerState, CircuitBreaker, Permit
from streamer.dispatch.admission.concurrency import AdaptiveConcurrency, TokenBucket
from streamer.dispatch.lanes.lanes import LaneName
from streamer.events import Hold, SubscriberName

_SHORTEST_HOLD_S = 0.1
_log = structlog.get_logger()

_ROTATE_S = 0.05
_LEAST_S = 0.001

Ticket = Permit[LaneName]
"""Permission for one attempt, which the attempt holds from its beginning to its end."""

OnPause = Callable[[str, str], None]
"""Callback with the cause of a pause (`guard` or `target`) and the reason."""


OnBreaker = Callable[[str], None]
"""Callback with the reason why the breaker opened; empty when it closed."""


def _ignore(*_: str) -> None:
    """Do nothing."""


class TargetHold:
    """Stops all deliveries to a target for the time that the target asked for, as by `Retry-After`.

    If several holds overlap, the hold that ends last applies. A hold does not count as
    an attempt of any event.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic()
        self._reason = ""

    @property
    def is_over(self) -> bool:
        """True while there is no hold."""
        return self._clock.monotonic() >= self._until

    @property
    def left_s(self) -> float:
        """Seconds until the hold ends; 0 without a hold."""
        return max(0.0, self._until - self._clock.monotonic())

    @property
    def reason(self) -> str:
        """The target's reason; empty while there is no hold."""
        return "" if self.is_over else self._reason

    def begin(self, seconds: float, reason: str) -> None:
        """Hold for `seconds` from now, but at least a tenth of a second."""
        until = self._clock.monotonic() + max(_SHORTEST_HOLD_S, seconds)
        if until > self._until:
            self._until, self._reason = until, reason

    def end(self) -> None:
        """End the hold now."""
        self._until = self._clock.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Thresholds for the number of dead letters.

    There are too many dead letters when `consecutive` events in a row became dead
    letters. There are also too many when more than `ratio` of the last `window` events
    became dead letters, if there were at least `minimum` events. A mistaken pause only
    causes a delay, but a flood of dead letters is work for an operator. So both
    thresholds are reached at about 50 dead letters, which a person can still read.
    Single events with bad data do not reach the ratio: they never make up half of all
    events.
    """

    consecutive: int = 50
    ratio: float = 0.5
    window: int = 200
    minimum: int = 100


class FloodGuard:
    """Detects a flood of dead letters, for example after a change has broken a mapping or the target.

    The guard reports a flood once, and the caller then pauses the subscriber. Later
    results of attempts in flight are counted, but cause no second report. The caller
    does not pass skipped events to the guard.
    """

    def __init__(self, subscriber: SubscriberName, limits: GuardLimits) -> None:
        self._subscriber = subscriber
        self._limits = limits
        # One entry for each of the last events: true if the event was set aside.
        self._last: deque[bool] = deque(maxlen=max(limits.window, limits.minimum))
        self._consecutive = 0
        self._has_reported = False

    def reset(self) -> None:
        """Forget all counts, because an operator has resumed the subscriber."""
        self._last.clear()
        self._consecutive = 0
        self._has_reported = False

    def delivered(self) -> None:
        """Count a delivery."""
        self._last.append(False)
        self._consecutive = 0

    def set_aside(self) -> str | None:
        """Count a dead letter; when there are too many, return a sentence for the operator, only once."""
        self._last.append(True)
        self._consecutive += 1
        if self._has_reported or not (flood := self._flood()):
            return None
        self._has_reported = True
        return (
            f"{flood} became dead letters, so Streamer paused {self._subscriber}. No event is lost. "
            "List the dead letters with `streamer deadletters list`, fix the common cause, then run "
            f"`streamer subscribers resume {self._subscriber}`."
        )

    def _flood(self) -> str:
        ended, letters = len(self._last), sum(self._last)
        if self._consecutive >= self._limits.consecutive:
            return f"{self._consecutive} events in a row"
        if ended >= self._limits.minimum and letters > self._limits.ratio * ended:
            return f"{letters} of the last {ended} events"
        return ""


class Holds:
    """The pause and the hold of a subscriber, which stop all its deliveries.

    An operator, the guard or the target pauses the subscriber, and an operator resumes
    it. `on_pause` is called when the guard or the target has paused the subscriber.
    """

    def __init__(
        self, name: SubscriberName, guard: FloodGuard, clock: Clock, *, on_pause: OnPause = _ignore
    ) -> None:
        self.name = name
        self.guard = guard
        self.target = TargetHold(clock)
        self._on_pause = on_pause
        self._paused_for: str | None = None

    @property
    def is_paused(self) -> bool:
        """True from `pause` to `resume`."""
        return self._paused_for is not None

    @property
    def is_over(self) -> bool:
        """True while neither a pause nor a hold stops the deliveries."""
        return self.target.is_over and self._paused_for is None

    @property
    def left_s(self) -> float | None:
        """Seconds until deliveries can continue; `None` while the subscriber is paused."""
        return None if self.is_paused else self.target.left_s

    @property
    def reason(self) -> str:
        """Reason why deliveries have stopped; empty while nothing stops them."""
        return self.target.reason if self._paused_for is None else f"paused: {self._paused_for}"

    def pause(self, reason: str) -> None:
        """Pause the subscriber, or change the reason of the current pause."""
        self._paused_for = reason

    def pause_by(self, who: str, reason: str) -> None:
        """Pause the subscriber for `who` and report the pause; do nothing if the subscriber is paused."""
        if self._paused_for is None:
            _log.error("subscriber.paused", subscriber=self.name, by=who, reason=reason)
            self.pause(reason)
            self._on_pause(who, reason)

    def resume(self) -> None:
        """End the pause, and reset the counts of the guard."""
        self._paused_for = None
        self.guard.reset()


@dataclass(slots=True, kw_only=True)
class Admission:
    """Decides when the next attempt at one target can begin.

    Five things delay an attempt: a pause by an operator, the guard or the target; a
    hold that the target asked for; an open breaker; the rate limit; and the concurrency
    limit. After `begin`, each attempt must end by a call of one of `succeeded`,
    `failed`, `overloaded`, `abandoned` and `not_sent`. `seconds` is the duration of the
    plugin's call. `share` is the attempt's share of the call, which is 1 without
    batches.
    """

    clock: Clock
    breaker: CircuitBreaker[LaneName]
    concurrency: AdaptiveConcurrency
    holds: Holds
    rate: TokenBucket | None = None
    on_breaker: OnBreaker = _ignore
    open_since: float = field(default=0.0, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def hindrance(self) -> str:
        """Reason why no attempt can begin at the moment; empty while attempts can begin."""
        if self.rate is not None and self.rate.opens_at is not None:
            return "the subscriber's rate limit is reached"
        return self._hold

    @property
    def is_held(self) -> bool:
        """True while something other than the rate limit prevents attempts."""
        return bool(self._hold)

    @property
    def opens_in_s(self) -> float | None:
        """Seconds until the hold and the breaker allow attempts; `None` while the subscriber is paused."""
        if self.holds.is_paused:
            return None
        return max(self.holds.target.left_s, self.breaker.opens_in_s)

    def is_clear(self) -> bool:
        """Return whether an attempt at any lane can begin now without a call of `permitted`.

        With a rate limit, the result is always false, because only `permitted` takes a
        token.
        """
        return self.rate is None and self.concurrency.has_room and not self.probes and self.holds.is_over

    @property
    def probes(self) -> bool:
        """True while the breaker is not closed and so tests the target with one event at a time."""
        return self.breaker.state is not BreakerState.CLOSED

    def opens_within(self, seconds: float) -> bool:
        """Return whether, as far as is known now, another attempt can begin within `seconds`."""
        if self.probes or not self.concurrency.has_room:
            return False
        opens_at = self.rate.opens_at if self.rate is not None else None
        rate_s = 0.0 if opens_at is None else opens_at - self.clock.monotonic()
        return not self.holds.is_paused and max(self.holds.target.left_s, rate_s) <= seconds

    async def permitted(self, lane: LaneName) -> bool:
        """Wait for permission for an attempt at `lane`.

        If the result is true, the attempt must begin at once.

        If the result is false, another lane must have its turn first. The caller asks
        for `lane` again after the other lanes.
        """
        while True:
            self._changed.clear()
            if not self.holds.is_over:
                await self._wait(self.holds.left_s)
            elif self.breaker.wait_s(lane) != 0:
                await self._wait_for_breaker(lane)
                return False
            elif not self.concurrency.has_room:
                # The end of an attempt in flight makes room.
                await self._changed.wait()
                continue
            elif self.rate is not None and (delay_s := self.rate.delay_s()):
                await self.rate.wait(delay_s)
            else:
                return True
            self.open_since = self.clock.monotonic()

    def begin(self, lane: LaneName) -> Ticket:
        """Note that an attempt begins; call this directly after `permitted`."""
        permit = self.breaker.admit(lane)
        assert permit is not None  # noqa: S101 - no task has run since `permitted`
        self.concurrency.began()
        return permit

    def succeeded(self, ticket: Ticket, *, seconds: float, share: float) -> None:
        """Note that the target works; it has accepted or rejected the event."""
        self.concurrency.succeeded(seconds, share)
        was_down = self.probes
        self.breaker.succeeded(ticket, share)
        self._changed.set()
        if was_down and not self.probes:
            _log.info("breaker.closed", subscriber=self.holds.name)
            self.on_breaker("")

    def failed(self, ticket: Ticket, *, seconds: float, share: float) -> Mapping[LaneName, int]:
        """Note that the target does not work; return, by lane, how many failed attempts must not count."""
        self.concurrency.overloaded(seconds)
        self._changed.set()
        was_down = self.probes
        given_back = self.breaker.failed(ticket, share)
        if self.probes and not was_down:
            _log.warning("breaker.opened", subscriber=self.holds.name, reason=self.breaker.reason)
            self.on_breaker(self.breaker.reason)
        return given_back

    def overloaded(self, ticket: Ticket, *, seconds: float) -> None:
        """Note that the target has asked for a pause."""
        self.concurrency.overloaded(seconds)
        self.breaker.abandoned(ticket)
        self._changed.set()

    def abandoned(self, ticket: Ticket) -> None:
        """Note that an attempt has ended without showing whether the target works."""
        self.concurrency.abandoned()
        self.breaker.abandoned(ticket)
        self._changed.set()

    def not_sent(self, ticket: Ticket | None = None) -> None:
        """Note that no request was sent after `permitted`, or after `begin` returned `ticket`."""
        if self.rate is not None:
            self.rate.give_back()
        if ticket is not None:
            self.abandoned(ticket)

    def set_aside(self) -> None:
        """Report a dead letter to the guard; pause the subscriber if there are too many."""
        if sentence := self.holds.guard.set_aside():
            self._pause_by("guard", sentence)

    def pause(self, reason: str) -> None:
        """Pause: begin no attempt until `resume`."""
        self.holds.pause(reason)
        self._changed.set()

    def resume(self) -> None:
        """Undo `pause`."""
        if self.holds.is_paused:
            self.holds.resume()
            self._changed.set()

    def probe_now(self) -> None:
        """Test the target now: end the hold, and let an open breaker probe at once."""
        self.holds.target.end()
        self.breaker.probe_now()
        self._changed.set()

    def hold(self, hold: Hold) -> None:
        """Begin no attempt while `hold` lasts; if several holds overlap, the hold that ends last applies."""
        was_open = self.holds.is_over
        self.holds.target.begin(hold.after_s, hold.reason)
        self._changed.set()
        # The hold is logged once, because several attempts in flight can receive the same hold.
        if was_open:
            say = _log.error if hold.alert else _log.warning
            say("subscriber.held", subscriber=self.holds.name, reason=hold.reason, after_s=hold.after_s)

    def pause_by_target(self, reason: str) -> None:
        """Pause the subscriber until an operator resumes it, because the target wants no more events."""
        self._pause_by("target", reason)

    def _pause_by(self, who: str, reason: str) -> None:
        self.holds.pause_by(who, reason)
        self._changed.set()

    @property
    def _hold(self) -> str:
        return self.holds.reason or self.breaker.reason

    async def _wait_for_breaker(self, lane: LaneName) -> None:
        wait_s = self.breaker.wait_s(lane)
        if wait_s is not None and self.breaker.state is BreakerState.HALF_OPEN:
            # This lane was probed before, so the wait is short, and other lanes are probed in
            # the meantime.
            wait_s = min(wait_s, _ROTATE_S)
        await self._wait(wait_s)
        self.open_since = self.clock.monotonic()

    async def _wait(self, seconds: float | None) -> None:
        """Wait for a change, for at most `seconds` unless `seconds` is `None`."""
        # The remaining time can be shorter than the resolution of a clock, so the wait has a
        # minimum.
        least_s = None if seconds is None else max(_LEAST_S, seconds)
        try:
            async with self.clock.timeout(least_s):
                await self._changed.wait()
        except TimeoutError:
            return
