"""Events soon flow again after any fault of a stream, even if the daemon is also killed."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.server import SandboxSettings
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.kept import KeptInSqlite
from tests.acceptance.sent import by_key, sent_by
from tests.acceptance.stream_faults import ENDS, SCHEMAS, change_schema, strike
from tests.configuration import CHANGES, ORDER_KEY, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

_PER_SECOND = 20.0
_ENDLESS = 10**9
_SOON_S = 3.0
_IDLE_CREDIT_S = 1.0
_MOST_CREDIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org in which much happens, and the log of a daemon that reads it over the Pub/Sub API."""

    sandbox: Sandbox
    kept: KeptInSqlite
    config: Path
    sending: asyncio.Task[None]
    found: Counter[str] = field(default_factory=Counter)

    async def flows_again(self) -> None:
        """Wait until the log holds all that has happened up to now."""
        sent = {event.id for event in sent_by(self.sandbox)}

        async def holds_all() -> bool:
            self.found.update(event.id for event in self.kept.events_after(self.found.total()))
            return sent <= self.found.keys()

        await until(holds_all, every_s=0.05)

    async def check_promises(self, *, letters: int) -> None:
        """End the stream; each event is in the log once, and those of a key in their order."""
        self.sending.cancel()
        await self.flows_again()
        sent = sent_by(self.sandbox)
        # A refused replay id is repaired too: its records come beside the stream, a minute later.
        found = [each for each in await self.kept.events() if not each.id.startswith("refused:")]
        assert Counter(found) == Counter(sent)
        assert by_key(found) == by_key(sent)

        async def holds_letters() -> bool:
            return len(self.kept.rows("dead_letters")) == letters

        # No event needs to follow what became one.
        await until(holds_letters)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Both channels; credit beyond the limit ends a stream, and so does none for a second."""
    limits = PubSubLimits(idle_credit_s=_IDLE_CREDIT_S, credit=_MOST_CREDIT, refuse_excess=True)
    kept = KeptInSqlite(tmp_path)
    async with Sandbox(SystemClock(), pubsub_port=0, settings=SandboxSettings(pubsub=limits)) as sandbox:
        # A replay id can be refused once a channel has a complete one.
        for number in range(3):
            sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"C-{number}"})
        configuration = sandbox_configuration(sandbox.url, log=kept.configuration)
        config = written(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))
        async with _happening(sandbox) as sending:
            yield World(sandbox=sandbox, kept=kept, config=config, sending=sending)


@asynccontextmanager
async def _happening(sandbox: Sandbox) -> AsyncIterator[asyncio.Task[None]]:
    org = BusyOrg(sandbox=sandbox, dice=random.Random(12))  # noqa: S311 - chance, no secret
    task = asyncio.create_task(org.send(_ENDLESS, per_second=_PER_SECOND), name="busy org")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_events_flow_again_within_three_seconds(world: World) -> None:
    """After most faults that are gone at once, in the life of one daemon; after five in a row in a minute."""
    sandbox = world.sandbox
    async with Daemon.running(world.config) as daemon:
        await daemon.ready()
        for faults in ENDS.values():
            await strike(sandbox, faults)
            await world.flows_again()
        for number, name in enumerate(SCHEMAS):
            await _with_new_schema(sandbox, number, name)
            await world.flows_again()
        for trouble in (_garbage(sandbox), _half_open(sandbox), _frozen(sandbox, daemon)):
            await trouble
            await world.flows_again()
        pauses = [line["tried_again_in_s"] for line in daemon.logged("session.lost")]
        assert statistics.median(pauses) < _SOON_S, pauses
        await strike(sandbox, [("unavailable", {"on": ["stream", "subscribe"], "times": 5})])
        await world.flows_again()
        # Of the garbage.
        await world.check_promises(letters=1)
        assert await daemon.stop() == 0
    assert len(daemon.logged("session.lost")) > len(ENDS)


async def _with_new_schema(sandbox: Sandbox, number: int, name: str) -> None:
    striking = asyncio.create_task(strike(sandbox, SCHEMAS[name]))
    await asyncio.sleep(0)
    change_schema(sandbox, number)
    await striking


async def _garbage(sandbox: Sandbox) -> None:
    sandbox.faults.unreadable(CHANGES)


async def _half_open(sandbox: Sandbox) -> None:
    await strike(sandbox, [("half_open", {})])
    sandbox.faults.heal()


async def _frozen(sandbox: Sandbox, daemon: Daemon) -> None:
    """Let the daemon ask for nothing, with all its credit used up, for longer than a stream is kept."""
    daemon.freeze()
    for number in range(2 * _MOST_CREDIT):
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"B-{number}"})
    await asyncio.sleep(2 * _IDLE_CREDIT_S)
    daemon.thaw()


async def test_kill_in_the_midst_of_a_fault_costs_nothing(world: World) -> None:
    """Killed in the midst of each, and started again: every event once and in order."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    sandbox = world.sandbox
    troubles: list[Callable[[], Awaitable[None]]] = [
        *(lambda faults=faults: strike(sandbox, faults) for faults in ENDS.values()),
        *(lambda n=n, name=name: _with_new_schema(sandbox, n, name) for n, name in enumerate(SCHEMAS)),
        lambda: strike(sandbox, [("half_open", {})]),
        lambda: _garbage(sandbox),
    ]
    dice.shuffle(troubles)
    for trouble in troubles:
        async with Daemon.running(world.config) as daemon:
            await daemon.ready()
            await trouble()
            await asyncio.sleep(dice.random() * 0.3)
            await daemon.kill()
            sandbox.faults.heal()
    async with Daemon.running(world.config) as daemon:
        await daemon.ready()
        await world.check_promises(letters=1)
        assert await daemon.stop() == 0
