"""Holds: a pause until an operator resumes the subscriber, and a hold that ends by itself."""

from streamer.clock import Clock

_LEAST_S = 0.1


class SubscriberPause:
    """Stops all deliveries of a subscriber, for a reason of an operator, the guard or the target."""

    def __init__(self) -> None:
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        """True from `begin` to `end`."""
        return self._reason is not None

    @property
    def reason(self) -> str:
        """The reason in a sentence; empty while no pause lasts."""
        return "" if self._reason is None else f"paused: {self._reason}"

    def begin(self, reason: str) -> None:
        """Pause, or change the reason of the present pause."""
        self._reason = reason

    def end(self) -> None:
        """Let deliveries go on."""
        self._reason = None


class TargetHold:
    """Stops all deliveries to a target until the time that it named, by `Retry-After` or in another way.

    The longest of several holds counts. A hold costs no event an attempt.
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
        """The target's reason; empty while no hold lasts."""
        return "" if self.is_over else self._reason

    def begin(self, seconds: float, reason: str) -> None:
        """Hold for `seconds` from now, at least a tenth of one."""
        until = self._clock.monotonic() + max(_LEAST_S, seconds)
        if until > self._until:
            self._until, self._reason = until, reason

    def end(self) -> None:
        """End it now."""
        self._until = self._clock.monotonic()
