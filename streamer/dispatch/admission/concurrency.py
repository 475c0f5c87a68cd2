"""Adaptive concurrency limit of one target."""

import math

from streamer.clock import Clock

_DECREASE = 0.9
_DEVIATIONS = 2.5
# Weight of each round in the mean. A mean that follows faster than the limit grows
# mistakes the queue that builds up at a target for the target's own latency.
_WEIGHT = 0.1
# Without it, a microsecond more would slow down a target whose latency is
# otherwise constant.
_LEAST_DEVIATION = 0.1
# A mean only approaches a latency that has changed permanently.
_AS_FAST = 1.01


class AdaptiveConcurrency:
    """Finds the number of attempts that a target can take at once, between 1 and a maximum.

    The limit grows by one after each round in which it was reached and latency
    stayed at or below the mean of earlier rounds. It shrinks to nine tenths
    when an attempt was overloaded, or when a round's latency exceeds the mean
    by 2.5 standard deviations. It shrinks at most once in a round trip, because
    attempts that began earlier say nothing about the new limit. A round takes a
    round trip as well.

    At a healthy target about every second round lets it grow. Growth from 4 to
    64 takes about 120 round trips: 0.6 s at 5 ms, 24 s at 200 ms.

    Each attempt that `began` ends by exactly one of the other three calls.
    """

    def __init__(self, maximum: int, clock: Clock, *, start: int = 4) -> None:
        """Begin with the limit `start`, or with `maximum` (at least 1) if that is less."""
        self._maximum = maximum
        self._clock = clock
        # Kept as a fraction, because nine tenths of 4 are not 3.
        self._limit = float(min(start, maximum))
        self._in_flight = 0
        self._mean_s: float | None = None
        self._variance = 0.0
        self._decreased_at = -math.inf
        self._round_at = clock.monotonic()
        self._reached = False
        self._answers = 0
        self._seconds = 0.0

    @property
    def limit(self) -> int:
        """Largest number of attempts in flight at once."""
        return int(self._limit)

    @property
    def has_room(self) -> bool:
        """True while another attempt can begin."""
        return self._in_flight < self.limit

    def began(self) -> float:
        """Note that an attempt begins; return its time in the clock's monotonic seconds."""
        self._in_flight += 1
        self._reached = self._reached or not self.has_room
        return self._clock.monotonic()

    def succeeded(self, began: float) -> None:
        """Note that the target served the attempt that began at `began`."""
        self._in_flight -= 1
        if began < self._decreased_at:
            return
        now = self._clock.monotonic()
        self._answers += 1
        self._seconds += now - began
        if self._is_round_trip(now - self._round_at):
            self._judge(self._seconds / self._answers, now)
            self._begin_round(now)

    def overloaded(self, began: float) -> None:
        """Note that the target was overloaded: 429, 5xx, no connection, or no answer in time."""
        self._in_flight -= 1
        now = self._clock.monotonic()
        # Targets refuse faster than they work, so the attempts of one round
        # trip can be more than the limit.
        if began >= self._decreased_at and self._is_round_trip(now - self._decreased_at):
            self._decrease(now)

    def abandoned(self) -> None:
        """Note that an attempt ended without showing what the target can take."""
        self._in_flight -= 1

    def _is_round_trip(self, seconds: float) -> bool:
        return self._mean_s is None or seconds >= self._mean_s

    def _judge(self, latency_s: float, now: float) -> None:
        if self._mean_s is None:
            self._mean_s, self._variance = latency_s, (latency_s / 2) ** 2
            return
        difference = latency_s - self._mean_s
        deviation = max(math.sqrt(self._variance), self._mean_s * _LEAST_DEVIATION)
        if difference > _DEVIATIONS * deviation:
            self._decrease(now)
        elif self._reached and latency_s <= self._mean_s * _AS_FAST:
            self._limit = min(self._limit + 1, float(self._maximum))
        self._mean_s += _WEIGHT * difference
        self._variance = (1 - _WEIGHT) * (self._variance + _WEIGHT * difference**2)

    def _decrease(self, now: float) -> None:
        self._limit = max(1.0, self._limit * _DECREASE)
        self._decreased_at = now
        self._begin_round(now)

    def _begin_round(self, now: float) -> None:
        self._round_at = now
        self._reached = False
        self._answers = 0
        self._seconds = 0.0
