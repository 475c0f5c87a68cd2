"""Whether a target wants anything at all just now."""

import asyncio

from streamer.clock import Clock

_LEAST_S = 0.1


class Gate:
    """Holds a whole subscriber back while its target asked for a pause.

    A hold costs no event an attempt. The longest of several holds counts.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin open."""
        self._clock = clock
        self._until = clock.monotonic()
        self._disabled = False
        self._reason = ""

    @property
    def is_open(self) -> bool:
        """Whether deliveries may be tried now."""
        return not self._disabled and self._clock.monotonic() >= self._until

    @property
    def opened_at(self) -> float:
        """When it opened, in the clock's monotonic seconds; later than now while it is held."""
        return self._until

    @property
    def reason(self) -> str:
        """Why it is closed; empty while it is open."""
        return "" if self.is_open else self._reason

    def hold(self, seconds: float, reason: str) -> None:
        """Let nothing through for `seconds` from now, a tenth of one at least."""
        until = self._clock.monotonic() + max(_LEAST_S, seconds)
        if until > self._until and not self._disabled:
            self._until, self._reason = until, reason

    def disable(self, reason: str) -> None:
        """Let nothing through until a person starts the subscriber anew."""
        self._disabled = True
        self._reason = reason

    async def passage(self) -> None:
        """Wait until deliveries may be tried."""
        while not self.is_open:
            if self._disabled:
                await asyncio.Event().wait()
            await self._clock.sleep(self._until - self._clock.monotonic())
