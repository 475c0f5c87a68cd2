"""Positions after events that an operator has skipped: no event in the log is repeated."""

from dataclasses import replace

from streamer.clock import TurnedClock
from streamer.controls import ChannelPosition, PositionOrder
from streamer.events import Batch, ReplayId
from tests.messages import CHANGES, batch, change
from tests.unit.ingest.test_positions import ORDER, SCRIPT, T0, World, quiet_world, read

LATEST = replace(ORDER, place=ChannelPosition.LATEST)
BEHIND_1 = replace(ORDER, id="position:2", place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"1"))


async def skipping(script: list[Batch], *orders: PositionOrder) -> World:
    """Return a world whose log holds a script, in which an operator skips to new events soon after it."""
    world = await read(clock=TurnedClock(T0 + 10))
    # No event is new to a script.
    world.source.script[CHANGES.path] = [batch(at=T0 + 11)]
    await world.run(LATEST)
    world.source.script[CHANGES.path] = [*SCRIPT, *script]
    for order in orders:
        await world.run(order)
    return world


async def test_replay_id_further_back_than_skipped_events_repeats_nothing() -> None:
    """No event of the log marks the place, and those of the last minute are left out all the same."""
    world = await skipping([batch(change(4, "001D"))], BEHIND_1)

    assert world.records == ["001A", "001B", "001C", "001D"]
    assert world.ended == [LATEST.id, BEHIND_1.id]


async def test_restart_after_a_replay_id_further_back_than_skipped_events_repeats_nothing() -> None:
    """The place is in the log with the order, although no event has come."""
    world = await skipping([batch(at=T0 + 12)], BEHIND_1)
    assert world.log.checkpoints[CHANGES].skips_after == b"3"
    world.source.script[CHANGES.path] = [*SCRIPT, batch(change(4, "001D"))]
    await world.run()

    assert world.records == ["001A", "001B", "001C", "001D"]


async def test_new_events_behind_a_quiet_answer_of_a_fast_clock_are_all_read() -> None:
    """Our clock has dated that answer, so that time tells nothing of the events before it."""
    world = quiet_world()
    await world.run()
    known = world.log.checkpoints[CHANGES]
    world.log.checkpoints[CHANGES] = replace(known, positioned_at=T0 + 99)
    world.source.script[CHANGES.path] = [batch(at=T0 + 101)]
    await world.run(LATEST)
    world.source.script[CHANGES.path] = [batch(change(45_000, "001D"))]
    await world.run()

    assert world.records == ["001A", "001B", "001C", "001D"]
