"""PushTopic, generic and custom channels are carried from the sandbox into the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import pytest
from yarl import URL

from streamer.clock import TurnedClock
from streamer.events import Channel, Checkpoint, Event, OrgId, Start
from streamer.ingest import relay
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.source import CometdSource
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.source import PubSubSource
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.settings import Transport
from tests.streaming import Losses, org_at, source_over
from tests.waiting import turned

TOPIC, DEMO, ERP, SECURITY = (
    "/topic/Accounts",
    "/u/notifications/Demo",
    "/data/Erp__chn",
    "/event/Security__chn",
)
CHANNELS = (
    OrgChannel(path=ERP, members=frozenset({"Account"}), enriched_fields={"Account": ("Name", "Fax")}),
    OrgChannel(path=SECURITY, members=frozenset({"LoginEventStream", "Order_Placed__e"})),
)
# Answers that hold few events tear apart what shares a replay id.
SETTINGS = SandboxSettings(
    org=OrgSetup(channels=CHANNELS),
    cometd=CometdLimits(response_events=2),
    pubsub=PubSubLimits(response_bytes=1),
)


@dataclass(slots=True, kw_only=True)
class WatchedLog(MemoryLog):
    """Log in memory that calls `at_commit` once an append with events is in it."""

    at_commit: Callable[[Checkpoint], None] = field(default=lambda _: None)

    def keep(self, events: Sequence[Event], checkpoint: Checkpoint, *rest: Any) -> None:
        """Keep, and tell."""
        MemoryLog.keep(self, events, checkpoint, *rest)
        if events:
            self.at_commit(checkpoint)


@dataclass(kw_only=True)
class World:
    """An org, and a log that is filled from it."""

    clock: TurnedClock
    sandbox: Sandbox
    tokens: Tokens
    log: WatchedLog = field(default_factory=WatchedLog)
    losses: Losses = field(default_factory=Losses)

    @asynccontextmanager
    async def ingesting(
        self, *paths: str, over: Transport = Transport.COMETD
    ) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
        """Carry the channels into the log by tasks; leaving it is as sudden as a kill."""
        org = OrgId(self.sandbox.org.settings.org_id)
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(self._source(over))
            tasks = [
                asyncio.create_task(self._ingest(Channel(org=org, path=path), source).run()) for path in paths
            ]
            stack.push_async_callback(_cancelled, tasks)
            yield tasks

    async def carry(self, path: str, *, over: Transport, until: Callable[[int], bool]) -> None:
        """Carry a channel into the log, with a kill after each commit, until its count of events is right."""
        while not until(len(self.log.events)):
            async with self.ingesting(path, over=over) as tasks:
                self.log.at_commit = partial(_kill, tasks)
                await self.until(lambda: all(task.done() for task in tasks))
        self.log.at_commit = lambda _: None

    def _source(self, over: Transport) -> CometdSource | PubSubSource:
        if over is Transport.COMETD:
            return source_over(over, self.sandbox, self.tokens, self.clock, self.losses)
        options = PubSubOptions(endpoint=URL(f"http://{self.sandbox.pubsub_address}"), most_credit=2)
        return PubSubSource(self.tokens, self.clock, options=options, observer=self.losses)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Turn the clock a little at a time until `condition` holds."""
        await turned(self.clock, condition)

    async def holds(self, count: int) -> list[Event]:
        """Return the log's events when there are `count`; fail if more come a little later."""
        await self.until(lambda: len(self.log.events) >= count)
        for _ in range(10):
            await self.clock.turn(0.2)
            await asyncio.sleep(0.001)
        assert len(self.log.events) == count
        return self.log.events

    def save(self, type_name: str, record_id: str | None = None, **fields: Any) -> str:
        """Create a record, or change one, in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            if record_id is None:
                return transaction.create(type_name, fields)
            transaction.update(type_name, record_id, fields)
            return record_id

    def change_together(self, record_ids: Sequence[str], **fields: Any) -> None:
        """Make the same change to several accounts, which is one merged event."""
        with self.sandbox.org.transaction() as transaction:
            for record_id in record_ids:
                transaction.update("Account", record_id, fields)

    def _ingest(self, channel: Channel, source: Any) -> Ingest:
        return Ingest(
            source=source,
            log=ChannelLog(
                channel=channel,
                log=self.log,
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


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError | None), outcome


def _kill(tasks: Sequence[asyncio.Task[None]], _checkpoint: Checkpoint) -> None:
    for task in tasks:
        task.cancel()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An org with a PushTopic."""
    clock = TurnedClock()
    async with Sandbox(clock, pubsub_port=0, settings=SETTINGS) as sandbox, aiohttp.ClientSession() as http:
        world = World(clock=clock, sandbox=sandbox, tokens=Tokens(http, org_at(sandbox.url), clock))
        world.save("PushTopic", Name="Accounts", Query="SELECT Id, Name, Industry FROM Account")
        yield world


async def test_push_topic_and_generic_channel_share_a_session(world: World) -> None:
    """Their events are in the log in order, each keyed as its channel says."""
    accounts = [world.save("Account", Name=name) for name in ("Acme", "Bolt")]
    async with world.ingesting(TOPIC, DEMO):
        await world.holds(2)
        world.save("Account", accounts[0], Name="Acme 2")
        for number in range(3):
            world.sandbox.streaming.generic.push(DEMO, f"message {number}")
        await world.holds(6)

    topic = [event for event in world.log.events if event.channel == TOPIC]
    generic = [event for event in world.log.events if event.channel == DEMO]
    assert [event.type for event in topic] == ["salesforce.topic.Accounts.created"] * 2 + [
        "salesforce.topic.Accounts.updated"
    ]
    assert [event.key for event in topic] == [*accounts, accounts[0]]
    assert [event.data["fields"]["Name"] for event in topic] == ["Acme", "Bolt", "Acme 2"]
    assert [event.data["payload"] for event in generic] == [f"message {number}" for number in range(3)]
    assert [event.key for event in generic] == [event.id for event in generic]
    assert world.sandbox.cometd.clients == 0
    assert world.losses.handshakes == 1


async def test_reading_goes_on_at_the_checkpoint(world: World) -> None:
    """After each stop, at whatever event it came."""
    expected = 0
    for number in range(5):
        for _ in range(3):
            world.save("Account", Name=f"No {expected}")
            world.sandbox.streaming.generic.push(DEMO, f"{expected}")
            expected += 1
        async with world.ingesting(TOPIC, DEMO):
            await world.until(lambda: len(world.log.events) > number * 6)  # noqa: B023 - awaited at once
    async with world.ingesting(TOPIC, DEMO):
        await world.holds(2 * expected)

    topic = [event.data["fields"]["Name"] for event in world.log.events if event.channel == TOPIC]
    generic = [event.data["payload"] for event in world.log.events if event.channel == DEMO]
    assert topic == [f"No {number}" for number in range(expected)]
    assert generic == [f"{number}" for number in range(expected)]


async def test_filter_lets_notifications_through_that_match_any_part(world: World) -> None:
    """The channel can be named with the filter or without it."""
    filtered = f"{TOPIC}?Industry='Energy'&Name='Bolt'"
    for name, industry in [("Acme", "Energy"), ("Bolt", "Retail"), ("Camel", "Retail"), ("Dune", "Energy")]:
        world.save("Account", Name=name, Industry=industry)
    async with world.ingesting(filtered):
        events = await world.holds(3)

    assert [event.data["fields"]["Name"] for event in events] == ["Acme", "Bolt", "Dune"]
    assert {event.channel for event in events} == {filtered}
    assert {event.type for event in events} == {"salesforce.topic.Accounts.created"}


@pytest.mark.parametrize("kind", ["nonsense", "utf8"])
async def test_unreadable_notification_costs_only_itself(world: World, kind: str) -> None:
    """It is a dead letter of its channel, whose other events go on."""
    async with world.ingesting(f"{TOPIC}?Industry=''&Name='Bolt'", DEMO):
        world.sandbox.streaming.generic.push(DEMO, "before")
        await world.holds(1)
        world.sandbox.faults.arm("unreadable", {"path": TOPIC, "kind": kind})
        await world.until(lambda: world.log.letters)
        world.save("Account", Name="Bolt")
        await world.holds(2)

    [letter] = world.log.letters
    assert TOPIC in letter.channel


async def test_channel_of_several_events_is_told_apart_by_their_names(world: World) -> None:
    """Those of event monitoring beside custom ones."""
    for name in ("LoginEventStream", "Order_Placed__e"):
        world.sandbox.org.publish_platform_event(name, {"UserId": "005"} if name[0] == "L" else {"N__c": 1})
    async with world.ingesting(SECURITY, "/event/LoginEventStream"):
        events = await world.holds(3)

    assert Counter((event.channel, event.type) for event in events) == {
        (SECURITY, "salesforce.event.LoginEventStream"): 1,
        (SECURITY, "salesforce.event.Order_Placed__e"): 1,
        ("/event/LoginEventStream", "salesforce.event.LoginEventStream"): 1,
    }


@pytest.fixture
def small_appends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is committed for itself, also while more of it comes."""
    monkeypatch.setattr(relay, "_MOST_BYTES", 1)


@pytest.mark.usefixtures("small_appends")
@pytest.mark.parametrize("transport", Transport)
async def test_split_events_survive_a_kill_after_each_commit(world: World, transport: Transport) -> None:
    """Those of one replay id come in several answers; none is lost, and none repeated."""
    accounts = [world.save("Account", Name=f"No {number}") for number in range(5)]
    for number in range(4):
        world.change_together(accounts, Phone=str(number))
    expected = len(accounts) * 5
    cuts = 0

    def in_the_midst(count: int) -> bool:
        nonlocal cuts
        cuts += count > len(accounts) and count % len(accounts) > 0
        return count >= expected

    await world.carry(ERP, over=transport, until=in_the_midst)
    async with world.ingesting(ERP, over=transport):
        events = await world.holds(expected)

    assert cuts >= 4
    assert len({event.id for event in events}) == expected
    assert [event.subject for event in events] == accounts * 5
    updates = events[len(accounts) :]
    assert [event.data["fields"]["Phone"] for event in updates] == [
        str(n) for n in range(4) for _ in accounts
    ]
    assert {event.data["fields"]["Name"] for event in updates} == {f"No {number}" for number in range(5)}
    assert set(Counter(event.replay_id for event in updates).values()) == {len(accounts)}


@pytest.mark.usefixtures("small_appends")
@pytest.mark.parametrize(
    ("first", "second"),
    [(Transport.COMETD, Transport.PUBSUB), (Transport.PUBSUB, Transport.COMETD)],
)
async def test_split_events_survive_a_change_of_the_transport_in_their_midst(
    world: World, first: Transport, second: Transport
) -> None:
    """And a kill after each commit on the other one."""
    accounts = [world.save("Account", Name=f"No {number}") for number in range(5)]
    world.change_together(accounts, Phone="1")

    await world.carry(ERP, over=first, until=range(6, 10).__contains__)
    await world.carry(ERP, over=second, until=lambda count: count >= 10)
    async with world.ingesting(ERP, over=second):
        events = await world.holds(10)

    assert len({event.id for event in events}) == 10
    assert [event.subject for event in events] == accounts * 2
