"""The list of a subscriber's parked keys, with their failures."""

import asyncio

import pytest

from streamer.dispatch.lanes.lanes import Order
from streamer.events import Retry
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World

FAILED = Retry(reason="the target answered 500")


async def park(world: World, *keys: str) -> None:
    """Let the events of `keys` fail from now on, until they are parked."""
    for key in keys:
        world.target.answers[key].extend([FAILED] * 1_000)
        await world.append(key, key=key)
    await world.turn(20)


async def test_parked_key_is_listed_with_attempts_due_time_and_errors() -> None:
    """It also has the number of its events; the later ones only wait."""
    world = World()
    async with world.running() as dispatcher:
        began = world.clock.now()
        await park(world, "bad")
        await world.append("behind", key="bad")
        await world.append("good")
        await world.quiet()
        parked = dispatcher.parked(10)
        attempts, [stored] = world.target.attempts, world.log.parked(TARGET, ACCOUNTS)

    [key] = parked.keys
    assert (parked.total, key.key, key.partition, key.offset, key.events) == (1, "bad", ACCOUNTS, 0, 2)
    assert (key.attempts, key.state) == (max(attempts), "waiting")
    assert (key.due_at, key.first_failed_at) == (stored.setback.due_at, began)
    assert (key.first_error, key.last_error) == (FAILED.reason, FAILED.reason)


async def test_list_begins_with_the_key_that_is_due_first_and_is_bounded() -> None:
    """The total counts the others too."""
    world = World()
    async with world.running() as dispatcher:
        await park(world, "early")
        await park(world, "late")
        every, first, none = dispatcher.parked(10), dispatcher.parked(1), dispatcher.parked(1, key="nobody")
        one = dispatcher.parked(10, key="late")

    due = [key.due_at for key in every.keys]
    assert due == sorted(due)
    assert (first.total, first.keys) == (2, every.keys[:1])
    assert (none.total, none.keys) == (0, ())
    assert ([key.key for key in one.keys], one.total) == (["late"], 1)


async def test_restart_forgets_nothing_of_a_parked_key() -> None:
    """The log has kept it; no event is read for the list."""
    world = World()
    async with world.running() as dispatcher:
        await park(world, "bad")
        before = dispatcher.parked(10)
    async with world.running() as dispatcher:
        assert dispatcher.parked(10) == before


async def test_state_tells_an_attempt_that_waits_from_one_that_is_held_up_or_under_way() -> None:
    """A paused subscriber's key is due, and tried at once on resume."""
    world = World()
    async with world.running() as dispatcher:
        await park(world, "bad")
        dispatcher.admission.pause("maintenance")
        await world.turn(60)
        held = dispatcher.parked(10).keys[0].state
        world.target.hang()
        dispatcher.admission.resume()
        await world.quiet()
        await asyncio.sleep(0)
        tried = dispatcher.parked(10).keys[0].state
        world.target.release()

    assert (held, tried) == ("due", "trying")


@pytest.mark.parametrize(("order", "key"), [(Order.PARTITION, ""), (Order.NONE, "0")])
async def test_key_is_the_name_of_the_lane(order: Order, key: str) -> None:
    """Where events are not kept in order by their key."""
    world = World(order=order)
    async with world.running() as dispatcher:
        await park(world, "bad")

        assert [each.key for each in dispatcher.parked(10).keys] == [key]
