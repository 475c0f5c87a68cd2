"""A dead letter that is redriven is delivered at its place, under its own id, and is a letter no more."""

from streamer.events import DeadLetter, Partition, Reject, Retry
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World


async def with_letter(world: World, *, key: str = "k") -> DeadLetter:
    """Let one event of a key be rejected, and the cause be mended."""
    world.target.answers["bad"].append(Reject(reason="422"))
    await world.append("bad", key=key)
    await world.quiet()
    [letter] = world.letters
    return letter


async def test_redriven_event_is_delivered_and_its_letter_is_gone(world: World) -> None:
    """With the idempotency key that it had, as a first attempt."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        assert dispatcher.redrive(letter)
        await world.turn(1)

        assert world.target.delivered == ["bad"]
        assert world.target.attempts == [1, 1]
        assert (world.letters, world.log.parked(TARGET, ACCOUNTS)) == ([], [])


async def test_letter_that_is_listed_again_before_it_is_recorded_is_delivered_once(world: World) -> None:
    """The log may tell of it for as long as it takes nothing."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.log.down = True
        for _ in range(3):
            assert dispatcher.redrive(letter)
            await world.turn(1)
        assert world.target.delivered == ["bad"]
        world.log.down = False
        await world.turn(10)

        assert world.target.delivered == ["bad"]
        assert (world.letters, world.log.parked(TARGET, ACCOUNTS)) == ([], [])


async def test_redriven_event_goes_before_what_waits_in_its_lane(world: World) -> None:
    """Order per key holds as far as it still can."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.answers["next"].extend([Retry(reason="500")] * 5)
        await world.append("next", "last", key="k")
        await world.turn(12)
        assert dispatcher.redrive(letter)
        await world.turn(60)

        assert world.target.delivered == ["bad", "next", "last"]


async def test_redriven_event_goes_before_a_retry_in_memory(world: World) -> None:
    """What waits there is parked behind it."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.answers["next"].append(Retry(reason="500", after_s=5.0))
        await world.append("next", key="k")
        await world.quiet()
        assert dispatcher.redrive(letter)
        await world.turn(1)

        assert world.target.delivered == ["bad", "next"]


async def test_lane_that_is_being_tried_is_left_alone(world: World) -> None:
    """Who redrives asks again."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.hang()
        await world.append("next", key="k")
        await world.quiet()
        assert not dispatcher.redrive(letter)
        world.target.release()
        await world.quiet()
        assert dispatcher.redrive(letter)
        await world.quiet()

        assert world.target.delivered == ["next", "bad"]


async def test_letter_of_another_process_is_not_ours_to_redrive(world: World) -> None:
    """Whoever has its partition does it."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.log.reassign(TARGET, [ACCOUNTS], to=None)
        await world.quiet()
        assert not dispatcher.redrive(letter)
        world.log.reassign(TARGET, [Partition(topic=ACCOUNTS.topic, number=0)], to=world.feed)
        await world.quiet()
        assert dispatcher.redrive(letter)
        await world.quiet()

        assert world.target.delivered == ["bad"]


async def test_crash_in_the_midst_of_a_redrive_loses_nothing(world: World) -> None:
    """The event is a letter or parked, never neither."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.hang()
        assert dispatcher.redrive(letter)
        await world.quiet()
        assert [lane.offsets for lane in world.log.parked(TARGET, ACCOUNTS)] == [(0,)]
        assert world.letters == []
        world.target.release()
