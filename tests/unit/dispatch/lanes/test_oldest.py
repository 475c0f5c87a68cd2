"""The oldest undelivered event is the one that an operator asks for first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.forwarding import Upstream
from streamer.dispatch.lanes.lanes import Lane, Lanes
from streamer.dispatch.state import Limits
from streamer.events import Forwarded, JsonObject, Retry, SubscriberName
from streamer.normalise.malformed import as_event_time
from streamer.ports import Settlement
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.dispatch.world import TARGET, World, middle

FAILED = Retry(reason="the target answered 500")
MINUTE_S = 60.0
FOR_A_DAY = RetrySchedule(first_delay_s=2.0, max_delay_s=60.0, give_up_after_s=86_400.0, jitter=middle)


async def append(world: World, name: str, *, committed_s_ago: float) -> None:
    """Append an event with a key of its own that was committed some time ago."""
    committed = datetime.fromtimestamp(world.clock.now() - committed_s_ago, UTC)
    time = as_event_time(committed)
    await append_to(world.log, an_append(an_event(name, what="salesforce.cdc.Account.updated", time=time)))


async def test_oldest_event_counts_from_its_commit() -> None:
    """Two events wait in flight; the one that was committed first is the oldest."""
    world = World()
    world.target.hang()
    await append(world, "newer", committed_s_ago=10)
    await append(world, "older", committed_s_ago=300)
    async with world.running() as dispatcher:
        await world.turn(5)
        assert dispatcher.status.waited_s == pytest.approx(305, abs=1)
        world.target.release()
        await world.turn(1)
        assert dispatcher.status.waited_s == 0


async def test_key_that_fails_for_hours_stays_the_oldest_while_others_are_delivered() -> None:
    """The log keeps a parked event, so its age must not be forgotten with the event."""
    world = World(schedule=FOR_A_DAY)
    world.target.answers["bad"].extend([FAILED] * 1_000)
    await append(world, "bad", committed_s_ago=0)
    async with world.running() as dispatcher:
        await world.turn(60 * MINUTE_S)
        await append(world, "good", committed_s_ago=0)
        await world.turn(1)
        assert "good" in world.target.delivered
        assert dispatcher.status.parked == 1
        assert dispatcher.status.waited_s == pytest.approx(3600, abs=30)


async def test_restart_does_not_make_a_parked_event_young() -> None:
    """The log knows since when it fails."""
    world = World(schedule=FOR_A_DAY)
    world.target.answers["bad"].extend([FAILED] * 1_000)
    await append(world, "bad", committed_s_ago=0)
    async with world.running():
        await world.turn(10 * MINUTE_S)
    async with world.running() as dispatcher:
        await world.turn(1)
        assert dispatcher.status.waited_s == pytest.approx(600, abs=30)


async def test_event_that_waits_for_receipts_is_not_late_by_itself() -> None:
    """Its age belongs to the steps before it; their subscribers show it."""
    former, other = SubscriberName("former"), SubscriberName("other")
    world = World(upstream=Upstream(names=(former, other)), receipts=True)
    receipts: JsonObject = {
        former: {"outcome": "delivered", "answer": {}, "attempts": 1, "at": world.clock.now()}
    }
    time = as_event_time(datetime.fromtimestamp(world.clock.now() - 10 * MINUTE_S, UTC))
    half = Forwarded(to=TARGET, event=replace(an_event("1", time=time), receipts=receipts), at=0.0)
    world.log.settled[former] = {}
    world.log.settle(former, Settlement(assignment=1, progress={}, forwarded=[half]))
    async with world.running() as dispatcher:
        # It waits in memory at first, and is parked after some seconds.
        for is_parked, wait_s in ((0, 1), (1, 10 * MINUTE_S)):
            await world.turn(wait_s)
            assert dispatcher.status.parked == is_parked
            assert dispatcher.status.waited_s == 0


async def test_late_event_is_said_in_the_trouble_of_its_subscriber() -> None:
    """One event, long before a breaker or a backlog would say anything."""
    world = World(schedule=FOR_A_DAY)
    world.target.answers["bad"].extend([FAILED] * 1_000)
    await append(world, "bad", committed_s_ago=0)
    async with world.running() as dispatcher:
        dispatcher.deliver_within_s = 10 * MINUTE_S
        await world.turn(9 * MINUTE_S)
        assert "deliver_within" not in dispatcher.status.trouble
        await world.turn(2 * MINUTE_S)
        assert "has waited for 11 min, but deliver_within is 10 min" in dispatcher.status.trouble


async def test_many_parked_keys_are_not_searched_each_time() -> None:
    """A search through as many lanes serves for as many thousandths of a second."""
    world = World(limits=Limits(waiting=5_000))
    world.target.down = True
    for number in range(2_000):
        await append(world, str(number), committed_s_ago=0)
    async with world.running() as dispatcher:
        searches = _Searches(dispatcher.state.lanes)
        dispatcher._oldest._lanes = searches  # type: ignore[assignment] # counts what is searched
        for _ in range(10):
            dispatcher.status  # noqa: B018 - each is a scrape
        assert searches.number <= 1


class _Searches:
    """Lanes that count the searches through them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.number = 0

    def __iter__(self) -> Iterator[Lane]:
        self.number += 1
        return iter(self._lanes)
