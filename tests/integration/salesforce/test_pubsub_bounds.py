"""Answers of the Pub/Sub API that exceed Streamer's limits."""

from collections.abc import AsyncIterator

import pytest

from tests.pubsub import World, pubsub_world
from tests.pubsub_server import order


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A scripted server, and a source that reads it."""
    async with pubsub_world() as each:
        yield each


async def test_events_beyond_the_credit_end_the_stream(world: World) -> None:
    """The loss is counted, and the next stream reads on without a gap."""
    world.server.most_events = 3
    world.publish(3)
    world.read()
    await world.all_read()
    world.server.forged.append(b"\n\0" * 1_000_000)
    world.publish(3)
    await world.all_read()

    assert world.losses.reasons == ["beyond_credit"]
    assert len(world.server.streams) == 2


async def test_events_that_make_an_answer_too_large_are_asked_for_in_smaller_numbers(world: World) -> None:
    """A hundred events of 200 kB in one answer would otherwise be refused for ever."""
    world.server.publish(*(order(number, at=world.clock.now(), by="x" * 200_000) for number in range(120)))
    world.published["/event/Order_Placed__e"] = 120
    world.read()
    await world.all_read()

    assert "answer_too_large" in world.losses.reasons
    assert world.server.streams[1].first.num_requested < 100
    await world.until(lambda: world.server.streams[-1].credit > 12)
