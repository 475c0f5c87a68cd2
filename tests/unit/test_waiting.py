"""The only way in which tests wait."""

import asyncio
from itertools import count

import pytest

from streamer.clock import TurnedClock
from tests import waiting

_SHORT_S = 0.05
_LIMIT_S = 0.5


async def test_true_value_is_returned() -> None:
    """The test can use the value that a condition finds."""
    looks = count()
    assert await waiting.until(lambda: next(looks) and "found", every_s=0) == "found"


async def test_condition_can_be_awaited_and_can_time_out_once() -> None:
    """One request that gets no answer is not the end."""
    looks = count()

    async def holds() -> bool:
        if next(looks) == 0:
            raise TimeoutError
        return True

    assert await waiting.until(holds, every_s=0)


async def test_what_never_comes_is_named() -> None:
    """The message tells what was waited for, by the line of a lambda."""
    with pytest.raises(AssertionError, match=r"lambda: .*test_waiting"):
        await waiting.until(lambda: [*""], every_s=0, limit_s=_SHORT_S)


async def test_condition_that_hangs_is_ended_too() -> None:
    """An answer that never comes does not hold up the test for ever."""

    async def hangs() -> bool:
        return await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="hangs"):
        await waiting.until(hangs, limit_s=_SHORT_S)


async def test_limit_starts_again_while_something_moves() -> None:
    """However slow it is, it is not given up before it stands still."""
    loop = asyncio.get_running_loop()
    stands_still_at = loop.time() + 3 * _LIMIT_S

    with pytest.raises(AssertionError):
        await waiting.until(
            lambda: False, progress=lambda: min(loop.time(), stands_still_at), limit_s=_LIMIT_S
        )
    assert loop.time() >= stands_still_at


async def test_count_is_waited_for() -> None:
    """It may come from a log that is asked."""
    counts = iter([0, 2, 5])

    async def count() -> int:
        return next(counts)

    await waiting.reached(count, 4, every_s=0)
    await waiting.reached(lambda: 4, 4)


async def test_turned_clock_brings_what_is_due() -> None:
    """The loop has rounds enough after each turn for what was due to be done."""
    clock = TurnedClock(0.0)
    sleeper = asyncio.create_task(clock.sleep(10.0))
    await waiting.turned(clock, sleeper.done, step_s=1.0)
    assert clock.monotonic() <= 12.0


async def test_time_out_of_the_body_itself_is_not_the_limits() -> None:
    """A test can expect one."""
    with pytest.raises(TimeoutError):
        async with waiting.limited("nothing"):
            raise TimeoutError


async def test_result_of_what_ends_is_returned() -> None:
    """A process's output, for example."""
    assert await waiting.awaited(asyncio.sleep(0, "done")) == "done"
