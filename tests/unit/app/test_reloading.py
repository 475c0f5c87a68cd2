"""A changed configuration is applied, and said to be."""

import asyncio

from prometheus_client import generate_latest

from streamer.app.plan import Plan
from streamer.app.reloading import Reloading
from streamer.clock import TurnedClock
from streamer.observe.metrics import Metrics
from tests.unit.app.test_dispatching import World


async def test_refusal_while_it_is_being_applied_stands() -> None:
    """Salesforce may refuse the new login before the audit has a record of the configuration."""
    clock = TurnedClock()
    metrics = Metrics(clock=clock)
    refused = asyncio.Event()

    async def apply(_: Plan) -> None:
        metrics.process.configuration_refused()
        refused.set()

    document = World().plan().document
    reloading = Reloading(document=document, read=lambda: document, apply=apply, clock=clock, metrics=metrics)
    running = asyncio.create_task(reloading.run())
    reloading.ask()
    await refused.wait()
    await asyncio.sleep(0)
    running.cancel()

    assert b"streamer_configuration_applied 0.0" in generate_latest(metrics.registry)
