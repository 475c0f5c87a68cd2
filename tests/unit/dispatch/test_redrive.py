"""A redriven dead letter is delivered at its position in the lane, with its own id, and then removed."""

import asyncio

import pytest

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.redrive import LetterPlaces, Redriven
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, Hold, Partition, Reject, Retry
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World, route


def taken(dispatcher: Dispatcher, letter: DeadLetter) -> bool:
    """Redrive `letter`, superseded or not, and return whether that is possible now."""
    return dispatcher.redelivery.redrive(letter, include_superseded=True) is Redriven.TAKEN


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
        assert taken(dispatcher, letter)
        await world.turn(1)

        assert world.target.delivered == ["bad"]
        assert world.target.attempts == [1, 1]
        assert (world.letters, world.log.parked(TARGET, ACCOUNTS)) == ([], [])


async def test_redriven_event_on_which_when_fails_is_a_letter_again(world: World) -> None:
    """Until the predicate is mended; then it is delivered, or skipped as the predicate says."""
    world.route = route(when="abs(data.nothing) > `0`")
    async with world.running() as dispatcher:
        await world.append("odd", key="k")
        await world.quiet()
        [letter] = world.letters
        assert taken(dispatcher, letter)
        await world.turn(1)
        [letter] = world.letters
        assert "when fails on this event" in letter.error
        assert world.target.began == []
    world.route = route(when="id == 'odd'")
    async with world.running() as dispatcher:
        assert taken(dispatcher, letter)
        await world.turn(1)

        assert (world.target.delivered, world.letters) == (["odd"], [])


async def test_letter_that_is_listed_again_before_it_is_recorded_is_delivered_once(world: World) -> None:
    """The log can list it for as long as it takes no record."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.log.faults.down = True
        for _ in range(3):
            assert taken(dispatcher, letter)
            await world.turn(1)
        assert world.target.delivered == ["bad"]
        world.log.faults.down = False
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
        assert taken(dispatcher, letter)
        await world.turn(60)

        assert world.target.delivered == ["bad", "next", "last"]


async def test_redriven_event_goes_before_a_retry_in_memory(world: World) -> None:
    """Events that wait in memory are parked behind it."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.answers["next"].append(Retry(reason="500", after_s=5.0))
        await world.append("next", key="k")
        await world.quiet()
        assert taken(dispatcher, letter)
        await world.turn(1)

        assert world.target.delivered == ["bad", "next"]


async def test_event_joins_a_lane_that_is_being_tried_when_the_attempt_has_ended(world: World) -> None:
    """Before what waits there, however little time there is between two attempts."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.hang()
        await world.append("next", "last", key="k")
        await world.quiet()
        for _ in range(2):
            assert taken(dispatcher, letter)
        world.target.release()
        await world.quiet()

        assert world.target.delivered == ["next", "bad", "last"]
        assert (world.letters, world.log.parked(TARGET, ACCOUNTS)) == ([], [])


@pytest.mark.parametrize("kept_back", ["pause", "hold", "breaker"])
async def test_redriven_event_goes_before_those_that_are_kept_back(world: World, kept_back: str) -> None:
    """Their turn has come, but none of them is being tried."""
    world.breaker = BreakerLimits(minimum=2)
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        match kept_back:
            case "pause":
                dispatcher.admission.pause("by anna")
            case "hold":
                world.target.answers["other"].append(Hold(reason="credentials", after_s=5.0))
                await world.append("other", key="other")
            case _:
                world.target.down = True
                await world.append("other", "others", key="other")
                await world.turn(10)
                assert dispatcher.admission.probes
        await world.quiet()
        await world.append("next", "last", key="k")
        await world.quiet()
        assert taken(dispatcher, letter)
        world.target.down = False
        dispatcher.admission.resume()
        await world.turn(120)

        assert [each for each in world.target.delivered if "other" not in each] == ["bad", "next", "last"]
        assert (world.letters, world.log.parked(TARGET, ACCOUNTS)) == ([], [])


@pytest.mark.parametrize("order", [Order.KEY, Order.NONE, Order.PARTITION])
async def test_letter_is_superseded_by_what_is_delivered_while_it_waits(world: World, order: Order) -> None:
    """Whatever the lanes are: it is the state of its key that a stale event would overwrite."""
    world.order = order
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        assert await dispatcher.redelivery.superseded([letter], LetterPlaces([letter])) == frozenset()
        await world.append("other", key="other")
        await world.quiet()
        assert dispatcher.state.latest.watches(letter)
        await world.append("next", key="k")
        await world.quiet()
        assert dispatcher.redelivery.redrive(letter, include_superseded=False) is Redriven.SUPERSEDED
        assert world.letters == [letter]
        assert dispatcher.redelivery.redrive(letter, include_superseded=True) is Redriven.TAKEN
        await world.quiet()

        assert world.target.delivered == ["other", "next", "bad"]


async def test_letter_is_superseded_by_the_attempt_that_it_waited_for(world: World) -> None:
    """It stays a letter."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        await dispatcher.redelivery.superseded([letter], LetterPlaces([letter]))
        world.target.hang()
        await world.append("next", key="k")
        await world.quiet()
        assert dispatcher.redelivery.redrive(letter, include_superseded=False) is Redriven.TAKEN
        world.target.release()
        await world.quiet()

        assert (world.target.delivered, world.letters) == (["next"], [letter])


async def test_what_was_delivered_just_before_the_comparison_supersedes_too(world: World) -> None:
    """Though the log has not recorded it yet."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.hang()
        await world.append("next", key="k")
        await world.quiet()
        world.log.faults.down = True
        world.target.release()
        await world.quiet()
        comparing = asyncio.create_task(dispatcher.redelivery.superseded([letter], LetterPlaces([letter])))
        await world.quiet()
        assert not comparing.done()
        world.log.faults.down = False
        await world.turn(5)

        assert await comparing == {letter.id}


async def test_letter_is_not_compared_while_the_log_is_away(world: World) -> None:
    """It has to be compared again, before it can overwrite what came later."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        await world.append("next", key="k")
        await world.turn(5)
        world.log.faults.down = True
        with pytest.raises(LogUnavailable):
            await dispatcher.redelivery.superseded([letter], LetterPlaces([letter]))
        assert not dispatcher.state.latest.watches(letter)
        world.log.faults.down = False

        assert await dispatcher.redelivery.superseded([letter], LetterPlaces([letter])) == {letter.id}


async def test_letter_of_another_process_is_not_ours_to_redrive(world: World) -> None:
    """Whoever has its partition does it."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.quiet()
        assert not taken(dispatcher, letter)
        world.log.consumers.reassign(TARGET, [Partition(topic=ACCOUNTS.topic, number=0)], to=world.feed)
        await world.quiet()
        assert taken(dispatcher, letter)
        await world.quiet()

        assert world.target.delivered == ["bad"]


async def test_crash_in_the_midst_of_a_redrive_loses_nothing(world: World) -> None:
    """The event is a letter or parked, never neither."""
    async with world.running() as dispatcher:
        letter = await with_letter(world)
        world.target.hang()
        assert taken(dispatcher, letter)
        await world.quiet()
        assert [lane.offsets for lane in world.log.parked(TARGET, ACCOUNTS)] == [(0,)]
        assert world.letters == []
        world.target.release()
