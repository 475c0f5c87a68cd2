"""Adaptive concurrency limit and rate limit of one target."""

import math
from dataclasses import dataclass
from enum import Enum, auto

from streamer.clock import Clock

_DECREASE = 0.9
# If latency exceeds the target's own latency by this factor, attempts are waiting for each other.
_QUEUE = 1.3
# A rise below this latency comes from the work of this process, and fewer attempts in flight
# would only make the deliveries slower.
_SHORT_S = 0.02
# If latency stays above this share of its value when the limit is halved, too many attempts in
# flight are not the cause.
_OURS = 0.85
# Weight of each round in the moving mean.
_WEIGHT = 0.2
# The estimate of the target's own latency falls slowly, because a few rounds can be fast by chance.
_WEIGHT_BELOW = 0.05
_DEVIATIONS = 2.0
# A measurement has as many answers, within limits, as its mean needs to reach this relative
# error.
_ERROR = 0.1
_LEAST_ANSWERS = 16
# Shorter than the resolution of any clock.
_LEAST_S = 1e-9
# A wait can be shorter than the resolution of a clock.
_LEAST_WAIT_S = 0.001
_MOST_ANSWERS = 120
# The shares of the attempts of one call add up to at least this value, despite rounding errors.
_WHOLE = 0.999


class _Phase(Enum):
    WORK = auto()
    """The limit grows while latency stays near the target's own latency."""
    FULL = auto()
    """Latency has risen, and is measured at the current limit."""
    HALF = auto()
    """Latency is measured at half of the limit."""


@dataclass(slots=True)
class _Round:
    """Answers to the attempts that have begun since `began_at`."""

    began_at: float
    reached: bool = False
    answers: float = 0.0
    seconds: float = 0.0

    @property
    def mean_s(self) -> float:
        return max(_LEAST_S, self.seconds / self.answers)


class AdaptiveConcurrency:
    """Finds the number of attempts that a target serves at once, between 1 and a maximum.

    The limit grows by one after each round trip in which it was reached, while latency
    stays near the target's own latency. If latency rises to 1.3 times the target's own
    latency, and to at least 20 ms, attempts may be waiting for each other at the
    target. To find out, the limit is halved until enough answers have arrived. If
    latency then falls, too many attempts in flight had formed a queue. So the limit is
    reduced by the same factor as latency, to the point where the queue begins. If
    latency does not fall, the target has become slower, and the previous limit is
    restored. So a target that serves 16 attempts at the same time gets about 16
    attempts, even if the maximum is higher. The target gets more attempts as soon as it
    serves more.

    After an overload, the limit also shrinks to nine tenths. It shrinks at most once in
    a round trip, because attempts that began before a reduction say nothing about the
    reduced limit.

    Growth from 4 to 64 takes at least 60 round trips: 0.3 s with a latency of 5 ms, and
    12 s with 200 ms. Each call of `began` must be followed by exactly one call of
    `succeeded`, `overloaded` or `abandoned`.

    If a target takes up to `batch` attempts in one call, the limit grows and shrinks by
    whole batches, so that it always allows a full batch. An attempt counts by its
    `share` of a call.
    """

    def __init__(self, maximum: int, clock: Clock, *, start: int = 4, batch: int = 1) -> None:
        """Begin with a limit of `start` calls, but of no more than `maximum` attempts (at least 1)."""
        self._most_attempts = maximum
        self._batch = batch
        self._maximum = math.ceil(maximum / batch)
        self._clock = clock
        self._resize(float(min(start, self._maximum)))
        self._in_flight = 0
        self._own_s: float | None = None
        self._mean_s = 0.0
        self._variance = 0.0
        self._changed_at = -math.inf
        self._decreased_at = -math.inf
        self._phase = _Phase.WORK
        self._full = 0.0
        self._full_s = 0.0
        self._round = _Round(clock.monotonic())

    @property
    def has_room(self) -> bool:
        """True while another attempt can begin."""
        return self._in_flight < self.limit

    def began(self) -> None:
        """Note that an attempt begins."""
        self._in_flight += 1
        self._round.reached = self._round.reached or not self.has_room

    def succeeded(self, seconds: float, share: float = 1.0) -> None:
        """Note that the target has served an attempt: a `share` of a call that took `seconds`."""
        self._in_flight -= 1
        now = self._clock.monotonic()
        if now - seconds < self._changed_at:
            return
        self._round.answers += share
        self._round.seconds += seconds * share
        if self._own_s is not None:
            deviation = (seconds / self._own_s - 1) ** 2 - self._variance
            self._variance += _WEIGHT_BELOW * share * deviation
        if self._is_complete(now):
            self._judge(self._round, now)

    def overloaded(self, seconds: float) -> None:
        """Note an overload (429, 5xx, no connection, or no answer in time) after `seconds`."""
        self._in_flight -= 1
        now = self._clock.monotonic()
        # A target refuses attempts faster than it serves them, so more attempts than the limit
        # can end in one round trip.
        if now - seconds >= self._decreased_at and self._is_round_trip(now - self._decreased_at):
            if self._phase is _Phase.HALF:
                self._resize(self._full)
            self._decreased_at = now
            self._set(self._limit * _DECREASE, _Phase.WORK, now)

    def abandoned(self) -> None:
        """Note that an attempt ended without showing how much the target can take."""
        self._in_flight -= 1

    def _is_complete(self, now: float) -> bool:
        if self._phase is _Phase.WORK:
            return self._round.answers >= _WHOLE and self._is_round_trip(now - self._round.began_at)
        wanted = min(max(self._variance / _ERROR**2, _LEAST_ANSWERS), _MOST_ANSWERS)
        return self._round.answers >= wanted

    def _is_round_trip(self, seconds: float) -> bool:
        return self._own_s is None or seconds >= self._mean_s

    def _judge(self, ended: _Round, now: float) -> None:
        match self._phase:
            case _Phase.WORK:
                self._work(ended, now)
            case _Phase.FULL:
                self._compare_full(ended.mean_s, now)
            case _Phase.HALF:
                self._compare_half(ended.mean_s, now)

    def _work(self, ended: _Round, now: float) -> None:
        latency_s = ended.mean_s
        if self._own_s is None:
            self._own_s = self._mean_s = latency_s
        self._mean_s += _WEIGHT * (latency_s - self._mean_s)
        if self._mean_s < self._own_s:
            self._own_s += _WEIGHT_BELOW * (self._mean_s - self._own_s)
        chance = math.sqrt(self._variance * _WEIGHT / (2 - _WEIGHT) / ended.answers)
        if int(self._limit) > 1 and self._mean_s > max(
            _SHORT_S, self._own_s * (_QUEUE + _DEVIATIONS * chance)
        ):
            self._set(self._limit, _Phase.FULL, now)
        else:
            grows = ended.reached and self._mean_s <= max(_SHORT_S, self._own_s * _QUEUE)
            self._resize(min(self._limit + grows, float(self._maximum)))
            self._round = _Round(now)

    def _compare_full(self, latency_s: float, now: float) -> None:
        assert self._own_s is not None  # noqa: S101 - the phase WORK comes first and sets it
        if latency_s <= self._own_s * _QUEUE:
            self._mean_s = latency_s
            self._set(self._limit, _Phase.WORK, now)
            return
        self._full, self._full_s = self._limit, latency_s
        self._set(self._limit / 2, _Phase.HALF, now)

    def _compare_half(self, latency_s: float, now: float) -> None:
        assert self._own_s is not None  # noqa: S101 - the phase WORK comes first and sets it
        share = latency_s / self._full_s
        self._mean_s = latency_s
        if share > _OURS:
            self._own_s = latency_s
            self._set(self._full, _Phase.WORK, now)
        else:
            # There can still be a queue at half of the limit; the next comparison finds it.
            self._own_s = min(self._own_s, latency_s)
            self._set(self._full * max(share, 0.5), _Phase.WORK, now)

    def _set(self, limit: float, phase: _Phase, now: float) -> None:
        """Set the limit and the phase; from now on, only attempts that begin later count."""
        self._resize(min(max(1.0, limit), float(self._maximum)))
        self._phase = phase
        self._changed_at = now
        self._round = _Round(now)

    def _resize(self, limit: float) -> None:
        # The limit counts calls, and can be a fraction: nine tenths of 4 are 3.6, and rounding
        # to 3 would shrink the limit too far.
        self._limit = limit
        self.limit = min(int(limit) * self._batch, self._most_attempts)
        """Largest number of attempts in flight at the same time."""


class TokenBucket:
    """Token bucket that admits `burst` attempts at once, and `per_second` attempts in the long run.

    In n seconds, at most `burst` + n * `per_second` attempts begin. The rate never
    drifts: each admission time is computed from the time at which the bucket was last
    full, not from the previous admission.

    The bucket reserves no token in advance, because a waiting caller can lose its
    partition in the meantime. Only one caller should wait at a time.
    """

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        """Begin with a full bucket; `per_second` is above 0 and `burst` at least 1."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._full_at = clock.monotonic()
        self._taken = 0
        self.opens_at: float | None = None
        """Monotonic time of the next token while a caller waits for it; otherwise `None`."""

    async def wait(self, delay_s: float) -> None:
        """Wait until the next token, in `delay_s` seconds."""
        self.opens_at = self._clock.monotonic() + delay_s
        try:
            await self._clock.sleep(max(_LEAST_WAIT_S, delay_s))
        finally:
            self.opens_at = None

    def delay_s(self) -> float:
        """Take a token and return 0, or return the seconds until the next token."""
        now = self._clock.monotonic()
        # The base is the time at which the bucket was last full. With the current time as the
        # base, rounding errors of the clock would add up.
        if now > self._full_at + self._taken / self._per_second:
            self._full_at, self._taken = now, 0
        due = self._full_at + (self._taken + 1 - self._burst) / self._per_second
        if now < due:
            return due - now
        self._taken += 1
        return 0.0

    def give_back(self) -> None:
        """Put back the token of an attempt that did not reach the target."""
        self._taken -= 1
