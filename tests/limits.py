"""A monitor of a sandbox's limits, on a clock that a test turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from streamer.clock import TurnedClock
from streamer.observe.metrics import Metrics
from streamer.quota import LimitsMonitor
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import Rest
from streamer.sandbox import Sandbox
from streamer.settings import ClientCredentialsAuth
from tests.streaming import APP, org_at
from tests.waiting import turned


@asynccontextmanager
async def monitored(
    sandbox: Sandbox, clock: TurnedClock, auth: ClientCredentialsAuth = APP
) -> AsyncIterator[tuple[LimitsMonitor, Metrics, Rest]]:
    """Run a monitor of the org, with its metrics."""
    metrics = Metrics(clock=clock)
    async with aiohttp.ClientSession() as http:
        rest = Rest(http, Tokens(http, org_at(sandbox.url, auth), clock), clock)
        monitor = LimitsMonitor(read=rest.limits, clock=clock, observer=metrics.org_limits)
        task = asyncio.create_task(monitor.run())
        try:
            await turned(clock, monitor._tried.is_set, step_s=0.05)
            yield monitor, metrics, rest
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
