"""A stop finishes what is in flight, records it, and waits for nothing else."""

import asyncio

from streamer.dispatch.dispatcher import Dispatcher
from streamer.events import Reject, Retry, SettledOffsets
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World


async def stopped_while_open(world: World) -> asyncio.Task[None]:
    """Begin to deliver, and ask for a stop while attempts are open."""
    world.target.closed = True
    stopping = asyncio.Event()
    running = asyncio.create_task(world.dispatcher().run(stopping))
    await world.quiet()
    stopping.set()
    await world.quiet()
    return running


async def test_stop_finishes_and_records_what_is_in_flight(world: World) -> None:
    """A delivery that has begun is not repeated by the next run, and none begins any more."""
    await world.append(1, 2)
    await world.append(3, 4, key="k")
    running = await stopped_while_open(world)
    assert not running.done()
    await world.append(5)
    world.target.release()
    await world.quiet()

    assert running.done()
    assert sorted(world.target.delivered) == ["1", "2", "3"]
    assert world.progress == SettledOffsets(next_offset=3)
    assert world.target.entered == 0


async def test_stop_does_not_wait_for_a_retry_and_does_not_forget_it(world: World) -> None:
    """Neither for one that waits already, nor for what fails while draining: both are parked."""
    world.target.answers["1"].append(Retry(reason="500", after_s=20.0))
    world.target.answers["2"].append(Retry(reason="500", after_s=20.0))
    await world.append(1)
    async with world.running():
        world.target.closed = True
        await world.append(2)
        await world.quiet()
        asyncio.get_running_loop().call_soon(world.target.release)

    assert world.clock.now() - 1_735_689_600 < 10
    assert world.progress == SettledOffsets(next_offset=2)
    assert [lane.setback.attempts for lane in world.log.parked(TARGET, ACCOUNTS)] == [1, 1]


async def test_what_ends_while_draining_is_recorded_before_the_last_one_ends(world: World) -> None:
    """Should the grace period end first, only that one is repeated."""
    slow = asyncio.Event()
    world.target.answers["slow"].append(slow.wait)
    await world.append("slow", "quick")
    running = await stopped_while_open(world)
    world.target.release()
    await world.quiet()
    assert not running.done()
    assert world.progress == SettledOffsets(next_offset=0, settled_above=frozenset({1}))

    running.cancel()
    await asyncio.wait([running])


async def test_stop_waits_for_the_log_to_take_the_record(world: World) -> None:
    """It is for the grace period to end that wait."""
    await world.append(1)
    running = await stopped_while_open(world)
    world.log.faults.down = True
    world.target.release()
    await world.turn(5)
    assert not running.done()
    world.log.faults.down = False
    await world.turn(2)

    assert running.done()
    assert world.progress == SettledOffsets(next_offset=1)


async def test_partition_that_is_lost_while_draining_does_not_hold_up_the_stop(world: World) -> None:
    """Even if one of its events was to be set aside."""
    world.target.answers["1"].append(Reject(reason="422"))
    await world.append(1)
    running = await stopped_while_open(world)
    world.target.release()
    while world.target.open:  # noqa: ASYNC110 - the very round of the loop matters
        await asyncio.sleep(0)
    world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
    await world.turn(3)

    assert running.done()


async def test_idle_dispatcher_stops_at_once(world: World) -> None:
    """There is nothing to wait for."""
    async with world.running() as dispatcher:
        assert isinstance(dispatcher, Dispatcher)
        assert dispatcher.following
