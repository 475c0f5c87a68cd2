"""Whether a target is to be left alone just now."""

from streamer.clock import Clock

_LEAST_S = 0.1


class PauseState:
    """Holds a whole subscriber back while its target asked for a pause, or somebody paused it.

    A hold costs no event an attempt. The longest of several holds counts.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin open."""
        self._clock = clock
        self._until = clock.monotonic()
        self._held_for = ""
        self._paused_for: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether deliveries may be tried now."""
        return self._paused_for is None and self._clock.monotonic() >= self._until

    @property
    def is_paused(self) -> bool:
        """Whether it opens by `resume` only."""
        return self._paused_for is not None

    @property
    def opens_in_s(self) -> float | None:
        """When it opens by itself; `None` when it does not."""
        return None if self.is_paused else max(0.0, self._until - self._clock.monotonic())

    @property
    def reason(self) -> str:
        """Why it is closed; empty while it is open."""
        if self._paused_for is not None:
            return f"paused: {self._paused_for}"
        return "" if self.is_open else self._held_for

    def hold(self, seconds: float, reason: str) -> None:
        """Let nothing through for `seconds` from now, a tenth of one at least."""
        until = self._clock.monotonic() + max(_LEAST_S, seconds)
        if until > self._until:
            self._until, self._held_for = until, reason

    def pause(self, reason: str) -> None:
        """Let nothing through until `resume`."""
        self._paused_for = reason

    def resume(self) -> None:
        """Undo `pause`; a hold goes on."""
        self._paused_for = None
