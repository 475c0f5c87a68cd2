"""Hold that a target asks for, by `Retry-After` or in another way."""

from streamer.clock import Clock

_LEAST_S = 0.1


class RetryAfterHold:
    """Stops all deliveries to a target until the time that it named; the longest of several holds counts.

    A hold costs no event an attempt.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic()
        self._reason = ""

    @property
    def is_over(self) -> bool:
        """True while the target can be tried."""
        return self._clock.monotonic() >= self._until

    @property
    def left_s(self) -> float:
        """Seconds until it is over."""
        return max(0.0, self._until - self._clock.monotonic())

    @property
    def reason(self) -> str:
        """What the target said; empty while no hold lasts."""
        return "" if self.is_over else self._reason

    def begin(self, seconds: float, reason: str) -> None:
        """Hold for `seconds` from now, at least a tenth of one."""
        until = self._clock.monotonic() + max(_LEAST_S, seconds)
        if until > self._until:
            self._until, self._reason = until, reason

    def end(self) -> None:
        """End it now."""
        self._until = self._clock.monotonic()
