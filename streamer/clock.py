"""Clocks: the system clock, and a clock that tests control.

Every part that waits, times out or stamps uses a :class:`Clock`. So a test can
skip Salesforce's 110-second holds and 72-hour retentions instead of waiting for
them.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from streamer.later import Later

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

CLOCKS_DIFFER_S = 60.0
"""Largest assumed difference in seconds between this machine's clock and Salesforce's."""

_SHARED_FROM_S = 1.0
_SHARED_S = 0.05


class Clock(Protocol):
    """Source of time: it returns the time, waits, and limits the duration of code."""

    def now(self) -> float:
        """Return wall-clock time in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences have a meaning."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`; zero or less yields to other tasks once."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Return a context whose body raises `TimeoutError` after `seconds`.

        With `None`, the body has no limit.
        """
        ...


class SystemClock:
    """Clock of this machine.

    A timeout of a second or more can fire up to 50 ms late. Timeouts that end
    together share a timer of the loop, so that a delivery does not need two timers
    of its own.
    """

    def __init__(self) -> None:
        self._timers: _SharedTimers | None = None

    # A delivery reads the clock often, so both are the functions of `time` themselves.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running loop."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Limit the body by the time of the running loop."""
        if seconds is None or seconds < _SHARED_FROM_S:
            return asyncio.timeout(seconds)
        loop = asyncio.get_running_loop()
        if self._timers is None or self._timers.loop is not loop:
            self._timers = _SharedTimers(loop)
        return _SharedTimeout(self._timers, seconds)


class _SharedTimers:
    """Registry of loop timers: all timeouts that end within the same 50 ms share a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ending: dict[int, set[_SharedTimeout]] = {}

    def begin(self, timeout: _SharedTimeout, seconds: float) -> set[_SharedTimeout]:
        """Return the set of timeouts that expire together with `timeout`; ended timeouts leave the set."""
        number = math.ceil((self.loop.time() + seconds) / _SHARED_S)
        ending = self._ending.get(number)
        if ending is None:
            ending = self._ending[number] = set()
            self.loop.call_at(number * _SHARED_S, self._expire, number)
        ending.add(timeout)
        return ending

    def _expire(self, number: int) -> None:
        for timeout in self._ending.pop(number):
            timeout.expire()


class _SharedTimeout:
    """Equivalent of `asyncio.timeout` on a shared timer."""

    __slots__ = ("_cancelling", "_ending", "_has_expired", "_seconds", "_task", "_timers")

    def __init__(self, timers: _SharedTimers, seconds: float) -> None:
        self._timers = timers
        self._seconds = seconds
        self._has_expired = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout works only inside an asyncio task")
        self._task = task
        self._cancelling = task.cancelling()
        self._ending = self._timers.begin(self, self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.discard(self)
        # A cancellation by other code stays a cancellation.
        if self._has_expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the body."""
        self._has_expired = True
        self._task.cancel()


class TurnedClock:
    """Clock that stands still until a test turns it.

    It starts at `now`, in seconds since the epoch, by default at 2025-01-01T00:00Z.
    While :meth:`turn` advances, sleeps and timeouts fire in the order of their due
    times. The tasks that a sleep or a timeout wakes run before the next sleep or
    timeout fires. Real I/O does not follow this clock: a test that uses a socket
    turns the clock and then waits for the result.
    """

    def __init__(self, now: float = 1_735_689_600.0) -> None:
        self._now = now
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        """Return the time of this clock."""
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
        """Limit the body by the time of this clock."""
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
        """Advance by `seconds`; sleeps and timeouts that fall due within this time fire."""
        target = self._now + seconds
        await self._settle()
        while self._due and self._due[0][0] <= target:
            due, _, fire = heapq.heappop(self._due)
            self._now = max(self._now, due)
            fire()
            await self._settle()
        self._now = max(self._now, target)

    def jump(self, seconds: float) -> None:
        """Advance without running tasks, like a stopped process; due timers fire at the next turn."""
        self._now += seconds

    @property
    def waiting(self) -> int:
        """Number of sleeps and timeouts that are not due yet, including timeouts that ended early."""
        return len(self._due)

    def _at(self, seconds: float, fire: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._now + seconds, next(self._order), fire))

    async def _settle(self) -> None:
        # A chain of tasks that wake each other needs several rounds of the loop.
        for _ in range(25):
            await asyncio.sleep(0)
