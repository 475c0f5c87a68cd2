"""One message a second to a channel."""

import asyncio

from streamer.clock import TurnedClock
from subscribers.slack.channel_rate import ChannelRate


async def test_messages_to_one_channel_are_a_second_apart() -> None:
    """The second waits for a second, the third for two."""
    clock = TurnedClock()
    pace = ChannelRate(clock, interval_s=1.0, max_wait_s=5.0)
    turns: list[float] = []

    async def take_turn() -> None:
        assert await pace.acquire("C1") is None
        turns.append(clock.monotonic())

    began = clock.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(take_turn())
        await clock.turn(5.0)

    assert [turn - began for turn in turns] == [0.0, 1.0, 2.0]


async def test_channels_do_not_wait_for_each_other() -> None:
    """A busy channel leaves the others alone."""
    pace = ChannelRate(TurnedClock(), interval_s=1.0, max_wait_s=0.0)

    assert [await pace.acquire(channel) for channel in ("C1", "C2", "C1")] == [None, None, 1.0]


async def test_long_queue_is_reported_instead_of_joined() -> None:
    """Who would wait too long is told how long, and keeps nobody behind it waiting."""
    clock = TurnedClock()
    pace = ChannelRate(clock, interval_s=10.0, max_wait_s=5.0)

    assert [await pace.acquire("C1") for _ in range(3)] == [None, 10.0, 10.0]
    await clock.turn(10.0)
    assert await pace.acquire("C1") is None


async def test_free_channels_are_forgotten() -> None:
    """Mappings that name ever new channels do not fill the memory."""
    clock = TurnedClock()
    pace = ChannelRate(clock, interval_s=1.0, max_wait_s=5.0)
    for number in range(1_500):
        await pace.acquire(f"C{number}")
        await clock.turn(0.01)

    assert len(pace._free_at) <= 1_000
