"""How many deliveries a target allows in a time."""

from streamer.clock import Clock


class TokenBucket:
    """Lets `burst` attempts through at once, and `per_second` of them in the long run.

    In no span of time begin more than `burst` and what `per_second` makes of
    the span. However long it runs, it does not drift: when the next may begin
    is reckoned from when the bucket was last full, not from the one before.

    Nothing is promised ahead, because who waits may lose its partition
    meanwhile. Where many wait, let one at a time.
    """

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        """Begin with a full bucket; `per_second` is above 0 and `burst` at least 1."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._full_at = clock.monotonic()
        self._taken = 0

    def delay_s(self) -> float:
        """Take a token and return 0; or take none, and return in how many seconds to ask again."""
        now = self._clock.monotonic()
        # Not at that very moment, or each rounding of the clock would add up.
        if now > self._full_at + self._taken / self._per_second:
            self._full_at, self._taken = now, 0
        due = self._full_at + (self._taken + 1 - self._burst) / self._per_second
        if now < due:
            return due - now
        self._taken += 1
        return 0.0

    def give_back(self) -> None:
        """Put back a token that was taken for an attempt which has not reached the target."""
        self._taken -= 1
