"""The map shows the rates of the last minute, for each channel and each subscriber."""

import asyncio

from streamer.flow.rates import FlowRateSampler
from streamer.observe.metrics import Metrics
from tests.contracts.values import CHANGES
from tests.unit.admin.world import World
from tests.unit.dispatch.world import TARGET


async def test_rate_is_that_of_the_last_minute(world: World, metrics: Metrics) -> None:
    """An event of more than a minute ago no longer counts."""
    sampler = FlowRateSampler(registry=metrics.registry, clock=world.clock)
    channel = metrics.channel(CHANGES)
    channel.appends.events.inc(1_000)
    task = asyncio.create_task(sampler.run())
    await world.clock.turn(1)
    assert not sampler.rates().is_known
    await world.clock.turn(119)
    channel.appends.events.inc(120)
    rates = sampler.rates()
    task.cancel()

    assert rates.is_known
    assert 1.7 < rates.events[CHANGES.path] <= 2.4


async def test_delivery_counts_and_a_skip_does_not(world: World, metrics: Metrics) -> None:
    """A series that begins later begins at zero."""
    sampler = FlowRateSampler(registry=metrics.registry, clock=world.clock)
    task = asyncio.create_task(sampler.run())
    await world.clock.turn(60)
    outcomes = metrics.subscriber(TARGET).attempts.outcomes
    for kind, counter in outcomes.items():
        counter.inc(55 if kind.__name__ == "Delivered" else 7)
    rates = sampler.rates()
    task.cancel()

    assert 0.8 < rates.deliveries[TARGET] <= 1.1


async def test_removed_counts_are_no_negative_rate(world: World, metrics: Metrics) -> None:
    """A reload can remove a channel and add it again."""
    sampler = FlowRateSampler(registry=metrics.registry, clock=world.clock)
    metrics.channel(CHANGES).appends.events.inc(5)
    task = asyncio.create_task(sampler.run())
    await world.clock.turn(30)
    metrics.forget_channel(CHANGES.path)
    metrics.channel(CHANGES).appends.events.inc(1)
    rates = sampler.rates()
    task.cancel()

    assert rates.events[CHANGES.path] == 0.0
