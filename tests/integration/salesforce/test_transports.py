"""The two transports give the same events, and a channel can change from one to the other."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.events import Channel, Event, JsonObject, OrgId, ReplayId, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.tokens import Tokens
from streamer.sandbox.server import Sandbox
from streamer.settings import Transport
from tests.acceptance.busy_org import BusyOrg
from tests.streaming import CHANGES, ORDERS, Losses, org_at, source_over
from tests.waiting import turned

PATHS = (CHANGES, ORDERS)


@dataclass(kw_only=True)
class World:
    """A busy org, and a log that is filled over one transport after the other."""

    clock: TurnedClock
    sandbox: Sandbox
    tokens: Tokens
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - chance, no secret
    busy: BusyOrg = field(init=False)

    def __post_init__(self) -> None:
        """Let things happen in the org."""
        self.busy = BusyOrg(sandbox=self.sandbox, dice=self.dice)

    def happen(self, times: int) -> None:
        """Let `times` things happen, all in the same second."""
        for _ in range(times):
            self.busy._happen()

    async def read(self, transport: Transport, log: MemoryLog) -> None:
        """Carry the channels into `log` until it has everything that happened, and stop."""
        org = OrgId(self.sandbox.org.settings.org_id)
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(
                source_over(transport, self.sandbox, self.tokens, self.clock, Losses())
            )
            tasks = [
                asyncio.create_task(self._ingest(Channel(org=org, path=path), source, log).run())
                for path in PATHS
            ]
            stack.push_async_callback(_cancelled, tasks)

            def holds() -> bool:
                for task in tasks:
                    assert not task.done(), task.result()
                return len(log.events) >= self.count

            await turned(self.clock, holds, step_s=0.05)
            # Nothing comes twice a little later.
            for _ in range(20):
                await self.clock.turn(0.2)
                await asyncio.sleep(0.001)

    def _ingest(self, channel: Channel, source: Any, log: MemoryLog) -> Ingest:
        return Ingest(
            source=source,
            log=ChannelLog(
                channel=channel,
                log=log,
                clock=self.clock,
                observer=Metrics(clock=self.clock).channel(channel),
            ),
            messages=MessageReader(
                channel=channel, normalise=normaliser_for(channel), quarantine=Quarantine(clock=self.clock)
            ),
            positioning=Positioning(
                channel=channel, clock=self.clock, start=Start.EARLIEST, on_refused="fail"
            ),
        )

    @property
    def count(self) -> int:
        """Number of events that everything makes that happened so far."""
        return sum(
            len(normaliser_for(Channel(org=OrgId("x"), path=path))([_message(path, each)]))
            for path in PATHS
            for each in self.sandbox.bus.after(path, 0)
        )


def _message(path: str, message: Any) -> Any:
    return {"channel": path, "data": orjson.loads(message.data)}


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    clock = TurnedClock()
    async with Sandbox(clock, pubsub_port=0) as sandbox, aiohttp.ClientSession() as http:
        yield World(clock=clock, sandbox=sandbox, tokens=Tokens(http, org_at(sandbox.url), clock))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A busy org."""
    async with _world() as each:
        yield each


def of(log: MemoryLog, path: str) -> list[Event]:
    """Return the events of one channel without their replay ids.

    The names of changed fields are a set: the Pub/Sub API gives them in the
    order of the schema.
    """
    return [
        replace(event, replay_id=ReplayId(b""), data=_with_sorted_names(event.data))
        for event in log.events
        if event.channel == path
    ]


def _with_sorted_names(data: JsonObject) -> JsonObject:
    names: JsonObject = {key: sorted(data[key]) for key in ("changed_fields", "nulled_fields") if key in data}
    return {**data, **names}


async def test_both_transports_give_the_same_events(world: World) -> None:
    """Save for the replay id."""
    world.happen(200)
    over = {transport: MemoryLog() for transport in Transport}
    for transport, log in over.items():
        await world.read(transport, log)

    for path in PATHS:
        assert of(over[Transport.PUBSUB], path) == of(over[Transport.COMETD], path)
    assert all(not event.replay_id.isdigit() for event in over[Transport.PUBSUB].events)


@pytest.mark.parametrize("first", Transport)
async def test_channel_that_changes_its_transport_again_and_again_is_whole(
    world: World, first: Transport
) -> None:
    """All in the same second, in which time tells nothing."""
    log = MemoryLog()
    [second] = set(Transport) - {first}
    for transport in (first, second, second, first, second, first):
        world.happen(20)
        await world.read(transport, log)

    whole = MemoryLog()
    await world.read(first, whole)
    assert log.letters == []
    for path in PATHS:
        assert [event.id for event in of(log, path)] == [event.id for event in of(whole, path)]


@pytest.mark.parametrize("first", Transport)
async def test_quiet_channel_that_changes_its_transport_is_whole(world: World, first: Transport) -> None:
    """The last answer was an empty one, so no event is open."""
    log = MemoryLog()
    [second] = set(Transport) - {first}
    for transport in (first, second, first):
        world.happen(10)
        await world.read(transport, log)
        await world.clock.turn(300)
        await world.read(transport, log)
        await world.clock.turn(300)

    whole = MemoryLog()
    await world.read(first, whole)
    for path in PATHS:
        assert [event.id for event in of(log, path)] == [event.id for event in of(whole, path)]
