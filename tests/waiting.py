"""Waiting in tests, with one time limit that no slow machine reaches.

A test names the result that it waits for, and never a duration, because a machine can
be many times slower than usual. So the limit only ends a wait for a result that never
comes. It starts again whenever `progress` shows a change.
"""

import asyncio
import inspect
import linecache
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from streamer.clock import TurnedClock

LIMIT_S = 300.0
"""Well below pytest's own limit for a test, so that the message says what did not come."""

T = TypeVar("T")

_LOOK_S = 0.01
# A request and its answer over a socket of this process take some rounds of the loop.
_ROUNDS = 10


async def until(
    holds: Callable[[], Any],
    *,
    every_s: float = _LOOK_S,
    between: Callable[[], Awaitable[object]] | None = None,
    progress: Callable[[], object] | None = None,
    limit_s: float = LIMIT_S,
) -> Any:
    """Return what `holds` returns, directly or awaited, once that is true.

    `between` is called after each look. While `progress` returns something new,
    the limit starts again.
    """
    loop, former = asyncio.get_running_loop(), None
    async with limited(described(holds), limit_s) as limit:
        while True:
            # One answer that does not come is not the end.
            with suppress(TimeoutError):
                found = holds()
                if value := await found if inspect.isawaitable(found) else found:
                    return value
            if progress is not None and (now := progress()) != former:
                former = now
                limit.reschedule(loop.time() + limit_s)
            if between is not None:
                await between()
            await asyncio.sleep(every_s)


async def turned(
    clock: TurnedClock, holds: Callable[[], Any], *, step_s: float = 0.2, every_s: float = 0.001
) -> Any:
    """Turn the clock a little at a time until `holds` is true, and return what it returns."""

    async def turn() -> None:
        await clock.turn(step_s)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    return await until(holds, every_s=every_s, between=turn)


async def reached(
    count: Callable[[], int | Awaitable[int]], wanted: int, *, every_s: float = _LOOK_S
) -> None:
    """Wait until a count is at least `wanted`, for as long as it grows now and then."""
    found = 0

    async def holds() -> bool:
        nonlocal found
        now = count()
        found = now if isinstance(now, int) else await now
        return found >= wanted

    await until(holds, every_s=every_s, progress=lambda: found)


def block_until(holds: Callable[[], Any], *, every_s: float = 0.05) -> Any:
    """Return what `holds` returns once that is true; for tests and threads without a loop."""
    end = time.monotonic() + LIMIT_S
    while not (value := holds()):
        if time.monotonic() > end:
            raise _in_vain(described(holds), LIMIT_S)
        time.sleep(every_s)
    return value


async def awaited(coming: Awaitable[T], what: str = "") -> T:
    """Return the result of what ends by itself, such as a process or an answer."""
    async with limited(what or repr(coming)):
        return await coming


@asynccontextmanager
async def limited(what: str, limit_s: float = LIMIT_S) -> AsyncIterator[asyncio.Timeout]:
    """Fail with `what` was waited for when the body does not end."""
    try:
        async with asyncio.timeout(limit_s) as limit:
            yield limit
    except TimeoutError:
        if not limit.expired():
            raise
        raise _in_vain(what, limit_s) from None


def described(holds: Callable[..., object]) -> str:
    """Return a function's name and place, and of a lambda its line."""
    code = getattr(inspect.unwrap(getattr(holds, "func", holds)), "__code__", None)
    name = getattr(holds, "__qualname__", repr(holds))
    if code is None:
        return name
    place = f"{code.co_filename}:{code.co_firstlineno}"
    line = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    return f"{line} ({place})" if name.endswith("<lambda>") else f"{name} ({place})"


def _in_vain(what: str, limit_s: float) -> AssertionError:
    return AssertionError(f"waited {limit_s:g} s in vain for {what}")
