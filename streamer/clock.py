"""Clocks: the system's, and one that a test turns.

Everything that waits, times out or stamps takes a :class:`Clock`, so that a
test turns through Salesforce's 110-second holds and 72-hour retentions instead
of waiting for them.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Clock(Protocol):
    """Source of time: tells it, waits for it and limits by it."""

    def now(self) -> float:
        """Return wall-clock time in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences have a meaning."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`; zero or less yields to other tasks once."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[None]:
        """Return a context whose body raises `TimeoutError` after `seconds`; `None` never does."""
        ...


class SystemClock:
    """Clock of this machine."""

    def now(self) -> float:
        """Return `time.time()`."""
        return time.time()

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        """Limit the body by the running loop's time."""
        async with asyncio.timeout(seconds):
            yield


class TurnedClock:
    """Clock that stands still until a test turns it.

    It starts at `now`, in seconds since the epoch, by default at
    2025-01-01T00:00Z. While :meth:`turn` advances, sleeps and timeouts fire in
    the order of their due times, and the tasks that they wake run before the
    next one fires. Real I/O does not follow this clock: a test that uses a
    socket turns the clock and then waits for the result.
    """

    def __init__(self, now: float = 1_735_689_600.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        """Return the turned time."""
        return self._now

    def monotonic(self) -> float:
        """Return the same seconds as :meth:`now`."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been turned by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._at(seconds, woken.set)
        await woken.wait()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        """Limit the body by the turned time."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            entered = True

            def expire() -> None:
                if entered and not limit.expired():
                    limit.reschedule(loop.time())

            if seconds is not None:
                self._at(seconds, expire)
            try:
                yield
            finally:
                entered = False

    async def turn(self, seconds: float) -> None:
        """Advance by `seconds`; sleeps and timeouts that fall due on the way fire."""
        target = self._now + seconds
        await self._settle()
        while self._due and self._due[0][0] <= target:
            due, _, fire = heapq.heappop(self._due)
            self._now = max(self._now, due)
            fire()
            await self._settle()
        self._now = max(self._now, target)

    def jump(self, seconds: float) -> None:
        """Advance while no task runs, as when a process is stopped; due timers fire at the next turn."""
        self._now += seconds

    @property
    def waiting(self) -> int:
        """Number of sleeps and timeouts that have not fired, finished ones included."""
        return len(self._due)

    def _at(self, seconds: float, fire: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._now + seconds, next(self._order), fire))

    async def _settle(self) -> None:
        # A chain of tasks that wake each other needs a few rounds of the loop.
        for _ in range(25):
            await asyncio.sleep(0)
