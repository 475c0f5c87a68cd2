"""The machine's time."""

import asyncio

import pytest

from streamer import clock
from streamer.clock import SystemClock


@pytest.fixture(params=["shared", "own"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SystemClock:
    """Return a clock whose short timeouts have timers of their own, or share them as long ones do."""
    if request.param == "shared":
        monkeypatch.setattr(clock, "_SHARED_FROM_S", 0.0)
    return SystemClock()


async def test_timeout_ends_its_body(system: SystemClock) -> None:
    """The body is cancelled where it waits, and its task goes on."""
    with pytest.raises(TimeoutError):
        async with system.timeout(0.01):
            await asyncio.Event().wait()

    await asyncio.sleep(0)


async def test_body_that_ends_in_time_hears_nothing_of_its_timeout(system: SystemClock) -> None:
    """Not even later."""
    async with system.timeout(0.01):
        pass
    await asyncio.sleep(0.1)


async def test_cancellation_is_no_timeout(system: SystemClock) -> None:
    """Who cancels a task wants it to end."""

    async def wait() -> None:
        async with system.timeout(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


async def test_error_of_the_body_is_its_own(system: SystemClock) -> None:
    """A timeout hides nothing."""
    with pytest.raises(ZeroDivisionError):
        async with system.timeout(60):
            raise ZeroDivisionError


async def test_inner_timeout_leaves_the_outer_one_alone(system: SystemClock) -> None:
    """The attempt continues after a request that took too long."""
    async with system.timeout(60):
        with pytest.raises(TimeoutError):
            async with system.timeout(0.01):
                await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_timeouts_that_begin_together_share_a_timer() -> None:
    """Thousands of deliveries a second each have two."""
    loop, timers = asyncio.get_running_loop(), []
    system, call_at = SystemClock(), loop.call_at
    loop.call_at = lambda *when: timers.append(when) or call_at(*when)  # type: ignore[method-assign, func-returns-value] # counted
    try:
        for _ in range(100):
            async with system.timeout(30):
                pass
    finally:
        loop.call_at = call_at  # type: ignore[method-assign] # as it was

    assert 1 <= len(timers) <= 2


async def test_clock_is_not_bound_to_one_loop() -> None:
    """A command may run several, one after the other."""
    system = SystemClock()

    async def limited() -> None:
        async with system.timeout(30):
            await asyncio.sleep(0)

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, limited())
