"""Pause state of a target: open, on hold for a time, or paused until resumed."""

from streamer.clock import Clock

_LEAST_S = 0.1


class PauseState:
    """Stops all deliveries of a subscriber during a hold of its target, or while it is paused.

    A hold costs no event an attempt. The longest of several holds counts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic()
        self._held_for = ""
        self._paused_for: str | None = None

    @property
    def is_open(self) -> bool:
        """True while deliveries can be tried."""
        return self._paused_for is None and self._clock.monotonic() >= self._until

    @property
    def is_paused(self) -> bool:
        """True while only `resume` can open it."""
        return self._paused_for is not None

    @property
    def opens_in_s(self) -> float | None:
        """Seconds until it opens by itself; `None` if it does not."""
        return None if self.is_paused else max(0.0, self._until - self._clock.monotonic())

    @property
    def reason(self) -> str:
        """Reason why it is closed; empty while it is open."""
        if self._paused_for is not None:
            return f"paused: {self._paused_for}"
        return "" if self.is_open else self._held_for

    def hold(self, seconds: float, reason: str) -> None:
        """Close for `seconds` from now, at least a tenth of one."""
        until = self._clock.monotonic() + max(_LEAST_S, seconds)
        if until > self._until:
            self._until, self._held_for = until, reason

    def end_hold(self) -> None:
        """Open now, unless paused."""
        self._until = self._clock.monotonic()

    def pause(self, reason: str) -> None:
        """Close until `resume`."""
        self._paused_for = reason

    def resume(self) -> None:
        """Undo `pause`; a hold remains."""
        self._paused_for = None
