"""Whether a target wants anything at all just now."""

import asyncio

from streamer.clock import Clock


class Gate:
    """Holds a whole subscriber back while its target asked for a pause.

    A hold costs no event an attempt. The longest of several holds counts.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin open."""
        self._clock = clock
        self._until = 0.0
        self._disabled = False
        self._opened = asyncio.Event()
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Whether deliveries may be tried now."""
        return not self._disabled and self._clock.now() >= self._until

    def hold(self, seconds: float, reason: str) -> None:
        """Let nothing through for `seconds` from now."""
        self._until = max(self._until, self._clock.now() + seconds)
        self.reason = reason

    def disable(self, reason: str) -> None:
        """Let nothing through until a person starts the subscriber anew."""
        self._disabled = True
        self.reason = reason

    async def passage(self) -> None:
        """Wait until deliveries may be tried."""
        while not self.is_open:
            if self._disabled:
                await self._opened.wait()
            await self._clock.sleep(self._until - self._clock.now())
        self.reason = ""
