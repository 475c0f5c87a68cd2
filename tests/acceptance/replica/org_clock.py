"""Clocks of a history: the daemon's clock, which waits for the network, and the org's clock."""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from streamer.clock import TurnedClock
from tests.idle_clock import IdleClock, is_idle


class NetworkClock(IdleClock):
    """Turned clock that stands still while the network delivers what its tasks have sent.

    A machine under load delivers late. Without that, an answer would be overdue
    before it could arrive, and a daemon would spend its quiet days on new sessions.
    """

    delivered: Callable[[], Awaitable[None]] | None = None

    async def _settle(self) -> None:
        has_sent = not is_idle()
        await super()._settle()
        if has_sent and self.delivered is not None:
            await self.delivered()


@dataclass(kw_only=True)
class OrgClock:
    """Clock whose time of day sways around the daemon's by up to `most_s` in `period_s`.

    It takes its timers from the daemon's clock: an org that waits for a minute
    waits for a minute of both.
    """

    clock: TurnedClock
    most_s: float = 0.0
    period_s: float = 3600.0

    @property
    def ahead_s(self) -> float:
        """Seconds by which the org's clock is ahead now."""
        return self.most_s * math.sin(2 * math.pi * self.clock.now() / self.period_s)

    def now(self) -> float:
        """Return the org's time of day."""
        return self.clock.now() + self.ahead_s

    def monotonic(self) -> float:
        """Return the daemon's seconds."""
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait until the daemon's clock has been turned by `seconds`."""
        await self.clock.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Limit the body by the daemon's clock."""
        return self.clock.timeout(seconds)
