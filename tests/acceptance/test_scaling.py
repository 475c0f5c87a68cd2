"""Delivering processes start and stop while events flow."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.kept import KeptInKafka
from tests.acceptance.sent import sent_by
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import reached

pytestmark = pytest.mark.heavy

_EVENTS = 24_000
_PER_SECOND = 1_000.0
_IN_FLIGHT = 32


@dataclass(slots=True, kw_only=True)
class Dispatch:
    """Processes that deliver, as many as wanted."""

    config: Path
    _running: list[tuple[Daemon, AsyncExitStack]] = field(default_factory=list)

    async def grow(self, to: int) -> None:
        """Start processes until there are so many, and wait until they are ready."""
        while len(self._running) < to:
            stack = AsyncExitStack()
            daemon = await stack.enter_async_context(Daemon.running(self.config, "--role", "dispatch"))
            self._running.append((daemon, stack))
        await asyncio.gather(*(daemon.ready() for daemon, _ in self._running))

    async def shrink(self, to: int) -> None:
        """Stop the oldest processes in good order until there are so many."""
        while len(self._running) > to:
            daemon, stack = self._running.pop(0)
            assert await daemon.stop() == 0, daemon.output
            await stack.aclose()

    async def close(self) -> None:
        """End what runs."""
        for _, stack in self._running:
            await stack.aclose()


@pytest.fixture
async def target() -> AsyncIterator[FulfillmentReceiver]:
    """A service that takes a moment for everything, so that much is in flight at all times."""
    async with FulfillmentReceiver(SystemClock()) as receiver:
        receiver.faults.slow_s = 0.01
        yield receiver


@pytest.fixture
def config(sandbox: Sandbox, target: FulfillmentReceiver, kafka: str, tmp_path: Path) -> Path:
    """All events go to one target."""
    log = KeptInKafka(kafka).configuration["kafka"] | {"session_timeout_s": 6}
    subscriber = {
        "uses": "fulfillment",
        "on": "salesforce.*",
        "start": "earliest",
        "max_in_flight": _IN_FLIGHT,
        "settings": {"url": target.url, "order": "id"},
    }
    return written(
        tmp_path, sandbox_configuration(sandbox.url, log={"kafka": log}, subscribers={"orders": subscriber})
    )


async def test_dispatch_grows_and_shrinks_without_loss_disorder_or_needless_repeats(
    sandbox: Sandbox, target: FulfillmentReceiver, config: Path
) -> None:
    """From one process to three and back, while events flow at a thousand a second."""
    dispatch, strikes = Dispatch(config=config), Strikes(clock=SystemClock())
    org = BusyOrg(sandbox=sandbox, dice=random.Random(7))  # noqa: S311 - chance, no secret
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(strikes.noting_starvation())
        stack.push_async_callback(dispatch.close)
        ingest = await stack.enter_async_context(Daemon.running(config, "--role", "ingest"))
        await ingest.ready()
        sending = asyncio.create_task(org.send(_EVENTS, per_second=_PER_SECOND), name="busy org")
        await dispatch.grow(to=1)
        await reached(lambda: len(target.journal), _EVENTS // 4)
        await dispatch.grow(to=3)
        await reached(lambda: len(target.journal), _EVENTS // 2)
        await dispatch.shrink(to=1)
        await sending
        sent = sent_by(sandbox)
        await reached(lambda: len(target.journal), len(sent))

    findings = Findings()
    deliveries = Deliveries.of(target.journal)
    # Nothing else struck: whatever is repeated is a finding.
    findings.look_at_target("the target", sent, deliveries, strikes)
    assert findings.ok, findings.broken
