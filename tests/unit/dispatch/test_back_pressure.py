"""A dispatcher keeps a limited part of the log in memory, however large the backlog is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from streamer.dispatch import ledger
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.state import Limits
from streamer.errors import LogUnavailable
from streamer.events import Delivered, Delivery, Hold, Outcome, Partition, SubscriberName
from streamer.log.memory import MemoryFaults, MemoryLog, feed
from streamer.ports import Recorded, Settlement
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.dispatch.world import ACCOUNTS, TARGET, ScriptedTarget, World, middle, route

CONTACTS = Partition(topic="salesforce.cdc.Contact", number=0)


@dataclass(kw_only=True)
class Deaf(MemoryLog):
    """A log that can be read, but does not take settlements."""

    deaf: bool = True

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Refuse, or do as others do."""
        if self.deaf:
            raise LogUnavailable("the group's coordinator is away")
        return super().settle(subscriber, settlement)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page hold two events."""
    monkeypatch.setattr(feed, "PAGE_EVENTS", 2)


@pytest.fixture
def small(world: World) -> World:
    """A world that reads no more while ten events wait."""
    world.in_flight, world.limits = 2, Limits(waiting=10)
    return world


@pytest.fixture
def deaf(small: World) -> Deaf:
    """A log that takes nothing, where five deliveries may be unrecorded."""
    small.log = log = Deaf()
    small.limits = Limits(waiting=100, finished=5)
    return log


async def test_reading_pauses_above_the_limit_and_goes_on_at_half_of_it(small: World) -> None:
    """Not at every event, which would make reading hectic."""
    small.target.closed = True
    await small.append(*range(30))
    async with small.running() as dispatcher:
        assert dispatcher.state.lanes.waiting == 10
        assert small.feed._paused == {ACCOUNTS}
        small.target.release()
        await small.quiet()
        assert len(small.target.delivered) == 30
        assert small.feed._paused == frozenset()


async def test_reading_pauses_above_the_limit_in_bytes_too(small: World) -> None:
    """A few large events are as much as many small ones."""
    small.limits = Limits(waiting=1_000, waiting_bytes=100_000)
    small.target.closed = True
    await append_to(small.log, an_append(*(an_event(n, data={"text": "x" * 20_000}) for n in range(30))))
    async with small.running() as dispatcher:
        assert dispatcher.state.lanes.waiting == 6
        small.target.release()
        await small.quiet()
        assert len(small.target.delivered) == 30
        assert dispatcher.state.lanes.waiting_bytes == 0


async def test_what_was_parked_comes_back_no_faster_than_it_is_delivered(small: World) -> None:
    """After an outage many lanes are due at once, and each has more than its head."""
    waiting: list[int] = []

    class Watched(ScriptedTarget):
        """Notes how much waits at each delivery."""

        async def deliver(self, delivery: Delivery, /) -> Outcome:
            """Answer as written."""
            waiting.append(dispatcher.state.lanes.waiting)
            return await super().deliver(delivery)

    small.target = Watched()
    small.schedule = RetrySchedule(
        first_delay_s=60.0, max_delay_s=60.0, give_up_after_s=86_400.0, fast_tries=0, jitter=middle
    )
    small.target.down = True
    async with small.running() as dispatcher:
        for key in range(30):
            await small.append(*(f"{key}-{number}" for number in range(25)), key=f"k{key}")
            await small.turn(1)
        assert dispatcher.status.parked == 750
        small.target.hang()
        small.target.down = False
        await small.turn(60)
        small.target.release()
        await small.turn_until(lambda: len(small.target.delivered) == 750)
    assert max(waiting) <= 10 + small.in_flight * 20


async def test_held_target_leaves_its_backlog_in_the_log(small: World) -> None:
    """However long it lasts."""
    small.target.answers["0"].append(Hold(reason="429", after_s=3600.0))
    small.target.answers["1"].append(Hold(reason="429", after_s=3600.0))
    await small.append(*range(100))
    async with small.running() as dispatcher:
        await small.turn(3000)
        assert dispatcher.state.lanes.waiting == 10
        await small.turn(601)
        assert len(small.target.delivered) == 100


async def test_partition_that_was_lost_makes_room_for_the_others(small: World) -> None:
    """Its events no longer wait here, so reading goes on though nothing was delivered."""
    small.target.closed = True
    await small.append(*range(20))
    async with small.running():
        await small.append("contact", entity="Contact")
        await small.quiet()
        assert small.feed._paused == {ACCOUNTS, CONTACTS}
        small.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await small.quiet()
        small.target.release()
        await small.quiet()

        assert "contact" in small.target.delivered


def answering(moment: asyncio.Event) -> Callable[[], Awaitable[Outcome]]:
    """Return what accepts an event at `moment`."""

    async def answer() -> Outcome:
        await moment.wait()
        return Delivered()

    return answer


async def test_deliveries_that_cannot_be_recorded_are_bounded(small: World) -> None:
    """A crash would repeat all of them, so they count like those that wait."""
    small.log = log = Deaf()
    await small.append(*range(100))
    async with small.running():
        await small.turn(60)
        assert len(small.target.delivered) == 10
        log.deaf = False
        await small.turn(2)
        assert len(small.target.delivered) == 100


async def test_no_more_begins_while_enough_is_delivered_and_not_recorded(small: World, deaf: Deaf) -> None:
    """Where much is waiting, little would come again after a crash; and nobody takes that for a dead end."""
    await small.append(*range(50))
    async with small.running() as dispatcher:
        await small.turn(60)
        assert 5 <= len(small.target.delivered) <= 5 + small.in_flight
        assert dispatcher.stalled_since is None
        deaf.deaf = False
        await small.turn(2)
        assert len(small.target.delivered) == 50


async def test_events_that_are_left_out_may_come_again(small: World, deaf: Deaf) -> None:
    """Nobody notices, so those that concern a target do not wait for their record."""
    small.route = route(when="id == '30'")
    await small.append(*range(31))
    async with small.running():
        await small.turn(60)
        assert small.target.delivered == ["30"]
        deaf.deaf = False


async def test_partition_that_the_log_calls_crowded_is_read_no_further(small: World) -> None:
    """Until its failing event is settled; other partitions go on."""
    small.log = MemoryLog(faults=MemoryFaults(room=20))
    slow = asyncio.Event()
    small.target.answers["0"].append(answering(slow))
    await small.append(*range(100))
    await small.append(*range(100, 150), entity="Contact")
    async with small.running():
        assert 20 <= len([name for name in small.target.delivered if int(name) < 100]) < 40
        assert len([name for name in small.target.delivered if int(name) >= 100]) == 50
        slow.set()
        await small.turn(1)
        assert len(small.target.delivered) == 150


async def test_failing_key_pauses_its_partition_only_when_much_is_settled_behind_it(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That much would come again after a crash; other partitions go on."""
    monkeypatch.setattr(ledger, "_CROWD", 20)
    slow = asyncio.Event()
    small.target.answers["0"].append(answering(slow))
    await small.append(*range(100))
    await small.append(*range(100, 150), entity="Contact")
    async with small.running():
        assert 20 <= len([name for name in small.target.delivered if int(name) < 100]) < 40
        assert len([name for name in small.target.delivered if int(name) >= 100]) == 50
        slow.set()
        await small.turn(1)
        assert len(small.target.delivered) == 150
