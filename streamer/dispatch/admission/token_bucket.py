"""Token bucket: limits the rate of attempts at one target."""

from streamer.clock import Clock


class TokenBucket:
    """Admits `burst` attempts at once, and `per_second` of them in the long run.

    In a span of n seconds at most `burst` + n * `per_second` attempts begin. It
    never drifts: each admission time is computed from the time when the bucket
    was last full, not from the previous admission.

    It promises no token in advance, because a waiting caller can lose its
    partition meanwhile. Among many callers only one should wait at a time.
    """

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        """Begin with a full bucket; `per_second` is above 0 and `burst` at least 1."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._full_at = clock.monotonic()
        self._taken = 0

    def delay_s(self) -> float:
        """Take a token and return 0; or take none, and return the seconds until the next one."""
        now = self._clock.monotonic()
        # The base is not the present moment, or the rounding errors of the clock would add up.
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
