"""A process that may have lost its partitions delivers nothing until the log confirms its ownership."""

import pytest
from structlog.testing import capture_logs

from streamer.events import Delivered, Outcome, Retry, SettledOffsets
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World


@pytest.fixture
def world() -> World:
    """A world in which three seconds are a standstill, and one event is delivered at a time."""
    return World(in_flight=1, session_s=6.0)


async def test_nothing_is_sent_for_a_partition_that_moved_meanwhile(world: World) -> None:
    """A worker that runs before reading has heard of the loss does not go on."""
    world.target.closed = True
    await world.append(1, 2, 3)
    async with world.running():
        world.target.release()
        world.clock.jump(10)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.turn(10)

        assert world.target.began == ["1"]


async def test_retry_that_fell_due_meanwhile_is_not_sent_either(world: World) -> None:
    """Everything goes through the same look."""
    world.target.answers["1"].append(Retry(reason="500"))
    await world.append(1)
    async with world.running():
        world.clock.jump(10)
        world.log.faults.down = True
        await world.turn(10)

        assert world.target.began == ["1"]
        world.log.faults.down = False


async def test_delivery_goes_on_once_the_log_has_taken_a_record(world: World) -> None:
    """Recorded progress is recorded again, because that proves the ownership."""
    async with world.running():
        await world.append(1)
        await world.quiet()
        recorded = world.progress
        world.log.faults.down = True
        world.clock.jump(10)
        await world.turn(5)
        world.log.faults.down = False
        await world.append(2)
        await world.turn(2)

        assert (recorded, world.target.delivered) == (SettledOffsets(next_offset=1), ["1", "2"])


async def test_plugin_that_blocks_the_loop_freezes_it(world: World) -> None:
    """The next event waits, though nobody but the worker has run since."""

    async def block() -> Outcome:
        world.log.faults.down = True
        world.clock.jump(10)
        return Delivered()

    world.target.answers["1"].append(block)
    await world.append(1, 2)
    async with world.running():
        await world.turn(3)
        assert world.target.began == ["1"]
        world.log.faults.down = False
        await world.turn(2)

        assert world.target.began == ["1", "2"]


async def test_partition_that_moved_and_came_back_is_delivered(world: World) -> None:
    """From where it was recorded, once its new assignment was."""
    world.target.closed = True
    await world.append(1, 2)
    async with world.running():
        world.target.release()
        world.clock.jump(10)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=world.feed)
        await world.turn(1)

        assert world.target.delivered == ["1", "1", "2"]
        assert world.progress == SettledOffsets(next_offset=2)


@pytest.mark.parametrize(("session_s", "frozen_s"), [(6.0, 2.9), (None, 1e6)])
async def test_short_pause_and_log_of_one_owner_raise_no_doubt(
    world: World, session_s: float | None, frozen_s: float
) -> None:
    """Nobody else could have taken the partitions."""
    world.session_s = session_s
    world.target.closed = True
    await world.append(1, 2)
    async with world.running():
        world.log.faults.down = True
        world.target.release()
        world.clock.jump(frozen_s)
        await world.quiet()

        assert world.target.delivered == ["1", "2"]
        world.log.faults.down = False


async def test_nothing_is_sent_once_the_log_has_taken_no_record_for_a_session(world: World) -> None:
    """A network may have come between us and the log, and somebody else may deliver in our place."""

    async def take_a_second() -> Outcome:
        await world.clock.sleep(1)
        return Delivered()

    for number in range(20):
        world.target.answers[str(number)].append(take_a_second)
    await world.append(*range(20))
    async with world.running():
        world.log.faults.down = True
        for _ in range(30):
            await world.turn(1)
        sent = len(world.target.began)
        world.log.faults.down = False
        await world.turn_until(lambda: len(world.target.delivered) == 20)

    # One was under way when the first was to be recorded, and one when the session was over.
    assert sent in {7, 8}
    assert world.target.began == [*map(str, range(20))]


async def test_freeze_and_its_end_are_said_once(world: World) -> None:
    """With its length."""
    await world.append(1)
    with capture_logs() as logs:
        async with world.running():
            world.clock.jump(10)
            await world.turn(10)

    told = [line for line in logs if line["event"].startswith("dispatch.")]
    assert [(line["event"], line["log_level"]) for line in told] == [
        ("dispatch.frozen", "warning"),
        ("dispatch.resumed", "info"),
    ]
    assert told[0]["for_s"] == 10
    assert {line["subscriber"] for line in told} == {TARGET}
