"""A channel changes its transport: nothing is lost, and nothing repeated."""

from collections.abc import AsyncIterator

import pytest
from grpc import StatusCode

from streamer.eventbus import ReplayPreset
from streamer.events import Channel, Checkpoint, EventId, ReplayId
from tests import streaming
from tests.pubsub import World, pubsub_world
from tests.pubsub_server import ORDERS, End, order, replay_id, uuid


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A scripted server, and a source that reads it."""
    async with pubsub_world() as each:
        yield each


def has_passed_some(world: World) -> bool:
    """Tell whether some events before the last one have been left out."""
    reader = world.source._readers.get(ORDERS)
    return reader is not None and reader.position.passed is not None


def read_over_cometd(world: World, *numbers: int) -> None:
    """Let the log hold a checkpoint that CometD left behind, with the open event of `numbers`."""
    world.log.checkpoints[world.channel()] = Checkpoint(
        channel=world.channel(),
        replay_id=ReplayId(b"4711"),
        verified_at=world.clock.now(),
        appended=tuple(EventId(uuid(number)) for number in numbers),
        open_replay_id=ReplayId(b"4712") if numbers else None,
    )


async def test_reading_goes_on_after_the_last_event_in_the_log(world: World) -> None:
    """Although all events are committed in the same second, and no replay id says where."""
    world.publish(10)
    read_over_cometd(world, 5)
    world.read()
    await world.until(lambda: len(world.log.events) == 4)

    assert world.numbers() == [6, 7, 8, 9]
    assert world.server.streams[0].first.replay_preset == ReplayPreset.EARLIEST


async def test_stream_that_ends_on_the_way_to_it_goes_on(world: World) -> None:
    """From the last position that was passed, so that a long way is gone once."""
    world.server.most_events = 10
    world.publish(100)
    read_over_cometd(world, 250)
    world.read()
    await world.until(lambda: has_passed_some(world), turning=0)
    world.server.end(End())
    world.publish(200)
    await world.until(lambda: len(world.log.events) == 49)

    assert world.numbers() == list(range(251, 300))
    assert world.server.streams[1].first.replay_preset == ReplayPreset.CUSTOM


async def test_restart_after_the_first_event_repeats_nothing(world: World) -> None:
    """The checkpoint then holds ids of both transports."""
    world.publish(7)
    read_over_cometd(world, 5)
    world.read()
    await world.until(lambda: world.numbers() == [6])
    await world.stop()
    world.publish(2)
    world.read()
    await world.until(lambda: len(world.log.events) == 3)

    assert world.numbers() == [6, 7, 8]


async def test_stream_that_ends_after_the_first_event_does_not_begin_anew(world: World) -> None:
    """The way to the last event is behind it."""
    world.publish(7)
    read_over_cometd(world, 5)
    world.read()
    await world.until(lambda: world.numbers() == [6])
    world.server.end(End())
    world.publish(1)
    await world.until(lambda: len(world.log.events) == 2)

    assert world.numbers() == [6, 7]
    again = world.server.streams[1].first
    assert (again.replay_preset, again.replay_id) == (ReplayPreset.CUSTOM, replay_id(5))


async def test_last_event_that_is_not_retained_makes_time_decide(world: World) -> None:
    """Events within a minute of the checkpoint can be repeated, and none is lost."""
    world.server.publish(order(0, at=world.clock.now() - 3600))
    world.published[ORDERS] = 1
    world.publish(3)
    read_over_cometd(world, 77)
    world.read()
    await world.until(lambda: world.server.live() and world.server.live()[0].sent == 4)
    world.server.keep_alive(replay_id(60))
    await world.until(lambda: len(world.log.events) == 3)

    assert world.numbers() == [1, 2, 3]


async def test_quiet_channel_goes_on_by_time(world: World) -> None:
    """No event is open, so what was committed well before the last quiet answer is left out."""
    world.server.publish(order(0, at=world.clock.now() - 3600))
    world.published[ORDERS] = 1
    read_over_cometd(world)
    world.publish(1)
    world.read()
    await world.until(lambda: world.log.events)

    assert world.numbers() == [1]


async def test_refused_position_of_the_way_is_not_the_checkpoints(world: World) -> None:
    """The transition starts again."""
    world.server.most_events = 10
    world.publish(100)
    read_over_cometd(world, 250)
    world.read()
    await world.until(lambda: has_passed_some(world), turning=0)
    world.server.refusals.append(
        End(status=StatusCode.INVALID_ARGUMENT, code="subscription.fetch.replayid.corrupted")
    )
    world.server.end(End())
    world.publish(200)
    await world.until(lambda: len(world.log.events) == 49)

    assert world.numbers() == list(range(251, 300))
    assert world.server.streams[-1].first.replay_preset == ReplayPreset.EARLIEST


@pytest.mark.parametrize("ends_by_event", [True, False])
async def test_way_back_without_the_last_event_makes_time_decide(*, ends_by_event: bool) -> None:
    """Over CometD that is a new session, in which the channel is read again."""
    async with streaming.streaming() as world:
        world.publish(1)
        await world.clock.turn(3600)
        world.publish(2)
        checkpoint = Checkpoint(
            channel=Channel(org=world.org, path=streaming.CHANGES),
            replay_id=ReplayId(b"\0\1"),
            verified_at=world.clock.now(),
            appended=(EventId("gone"),),
            open_replay_id=ReplayId(b"\0\2"),
        )
        reader = world.read(after=checkpoint)
        if ends_by_event:
            await world.clock.turn(70)
            world.publish(1)
        await world.until(lambda: len(reader.seen) >= 2 + ends_by_event, turning=1)

    assert reader.seen == [1, 2, 3][: 2 + ends_by_event]
    assert "subscribed_again" in world.losses.reasons
