"""The time for which a dispatcher with work has not moved."""

import asyncio

import pytest

from streamer.dispatch.state import Limits
from streamer.events import Hold, Outcome, Retry
from tests.unit.dispatch.world import World


async def test_nothing_to_try_is_no_stall(world: World) -> None:
    """Neither before the first event nor after the last."""
    async with world.running() as dispatcher:
        await world.turn(100)
        assert dispatcher.stalled_since is None
        await world.append(1)
        await world.turn(100)
        assert dispatcher.stalled_since is None


async def test_stall_begins_with_the_work_that_ends_an_idle_time(world: World) -> None:
    """And ends with the first conclusion."""
    world.target.closed = True
    async with world.running() as dispatcher:
        await world.turn(1000)
        began = world.clock.monotonic()
        await world.append(1)
        await world.turn(20)
        assert dispatcher.stalled_since == began
        world.target.release()
        await world.quiet()
        assert dispatcher.stalled_since is None


async def test_each_conclusion_begins_anew(world: World) -> None:
    """One key that hangs does not hide that others move."""
    world.in_flight = 1
    world.target.closed = True
    await world.append(1, 2)
    async with world.running() as dispatcher:
        # An attempt is given up after thirty seconds, and the next one begins.
        await world.turn(31)
        assert dispatcher.stalled_since == world.clock.monotonic() - 1
        world.target.release()


@pytest.mark.parametrize(
    "answer", [Retry(reason="500", after_s=50.0), Hold(reason="429", after_s=50.0)], ids=["retry", "hold"]
)
async def test_waiting_for_a_target_explains_a_standstill_until_it_is_over(
    world: World, answer: Outcome
) -> None:
    """The target failed, not we; once the time has come, it is for us to try."""
    world.target.answers["1"].append(answer)
    await world.append(1)
    async with world.running() as dispatcher:
        await world.turn(49)
        assert dispatcher.stalled_since is None
        world.target.closed = True
        await world.turn(11)
        assert dispatcher.stalled_since == world.clock.monotonic() - 10
        world.target.release()


async def test_doubt_explains_a_standstill_until_it_is_over(world: World) -> None:
    """While the log is away nobody can say whose the partitions are."""
    world.in_flight, world.session_s = 1, 6.0
    world.target.closed = True
    world.target.answers["2"].append(asyncio.Event().wait)
    await world.append(1, 2, 3)
    async with world.running() as dispatcher:
        world.log.faults.down = True
        world.clock.jump(10)
        world.target.release()
        await world.turn(20)
        assert (world.target.began, dispatcher.stalled_since) == (["1"], None)
        world.log.faults.down = False
        await world.turn(5)
        assert 0 < world.clock.monotonic() - (dispatcher.stalled_since or 0.0) <= 5


async def test_log_that_takes_no_record_explains_a_standstill(world: World) -> None:
    """Everything in memory was tried, and no more is read."""
    world.in_flight, world.limits = 2, Limits(waiting=3)
    await world.append(1)
    async with world.running() as dispatcher:
        world.log.faults.down = True
        await world.turn(100)
        assert dispatcher.stalled_since is None
        world.log.faults.down = False
