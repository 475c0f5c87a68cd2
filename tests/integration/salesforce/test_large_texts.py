"""Large texts that Salesforce sends as diffs, over both transports, with the org's records at hand."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, cast

import aiohttp
import pytest

from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.clock import TurnedClock
from streamer.events import Channel, Event, OrgId, ReplayId, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.sandbox.server import Sandbox
from streamer.settings import LargeText, Settings, Transport
from streamer.supervision.status import Status
from tests.configuration import sandbox_configuration
from tests.streaming import CHANGES, Losses, org_at, source_over
from tests.waiting import turned

LINES = [f"line {number} of a text that is long enough to be sent as a diff" for number in range(40)]
OTHER = "\n".join(line.upper() for line in LINES)
FIRST, SECOND, THIRD = ("\n".join([*LINES, last]) for last in ("first", "second", "third"))


@dataclass(kw_only=True)
class World:
    """An org, and logs that are filled from it."""

    clock: TurnedClock
    sandbox: Sandbox
    tokens: Tokens
    rest: Rest

    def write(self, text: str, record_id: str | None = None) -> str:
        """Write the description of an account, or of a new one, and return its id."""
        with self.sandbox.org.transaction() as transaction:
            if record_id is None:
                return transaction.create("Account", {"Name": "Acme", "Description": text})
            transaction.update("Account", record_id, {"Description": text})
            return record_id

    async def read(
        self, transport: Transport, count: int, *, rereads: bool = False, log: MemoryLog | None = None
    ) -> list[Event]:
        """Return `count` events without their replay ids, as a process that has just started reads them."""
        channel = Channel(org=OrgId(self.sandbox.org.settings.org_id), path=CHANGES)
        log = log or MemoryLog()
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(
                source_over(transport, self.sandbox, self.tokens, self.clock, Losses())
            )
            ingest = self._ingest(channel, source, log, rereads=rereads)
            await self.until_read(ingest.run(), log, count)
        return [replace(event, replay_id=ReplayId(b"")) for event in log.events]

    async def until_read(self, reading: Coroutine[Any, Any, None], log: MemoryLog, count: int) -> None:
        """Read until `log` has `count` events."""
        task = asyncio.create_task(reading)
        try:
            await turned(self.clock, lambda: len(log.events) >= count or task.done(), step_s=0.05)
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ingest(self, channel: Channel, source: Any, log: MemoryLog, *, rereads: bool) -> Ingest:
        metrics = Metrics(clock=self.clock).channel(channel)
        rereading = Rereading(channel=channel, records=RestRecords(self.rest), clock=self.clock)
        return Ingest(
            source=source,
            log=ChannelLog(channel=channel, log=log, clock=self.clock, observer=metrics),
            messages=MessageReader(
                channel=channel,
                normalise=normaliser_for(channel),
                quarantine=Quarantine(clock=self.clock),
                large_texts=LargeTexts(
                    cache=TextCache(1_000_000),
                    clock=self.clock,
                    observer=metrics,
                    rereading=rereading if rereads else None,
                ),
            ),
            positioning=Positioning(channel=channel, clock=self.clock, start=Start.EARLIEST),
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A fresh org."""
    clock = TurnedClock()
    async with Sandbox(clock, pubsub_port=0) as sandbox, aiohttp.ClientSession() as http:
        tokens = Tokens(http, org_at(sandbox.url), clock)
        yield World(clock=clock, sandbox=sandbox, tokens=tokens, rest=Rest(http, tokens, clock))


async def test_both_transports_give_the_same_whole_texts(world: World) -> None:
    """Each diff is applied to the text before it."""
    account = world.write(FIRST)
    world.write(SECOND, account)
    world.write(THIRD, account)
    over = {transport: await world.read(transport, 3) for transport in Transport}

    assert over[Transport.PUBSUB] == over[Transport.COMETD]
    texts = [event.data["fields"]["Description"] for event in over[Transport.COMETD]]
    assert texts == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize("transport", Transport)
async def test_text_that_a_restart_forgot_is_marked_or_read_again(world: World, transport: Transport) -> None:
    """The log continues after its checkpoint, and nothing comes twice."""
    account = world.write(FIRST)
    kept, reread = MemoryLog(), MemoryLog()
    for log in (kept, reread):
        await world.read(transport, 1, log=log)
    world.write(SECOND, account)
    world.write(THIRD, account)

    [_, *marked] = await world.read(transport, 3, log=kept)
    assert [event.data["diff_fields"] for event in marked] == [["Description"], ["Description"]]
    assert all(set(event.data["fields"]["Description"]) == {"diff"} for event in marked)

    [_, second, third] = await world.read(transport, 3, log=reread, rereads=True)
    assert second.data["fields"]["Description"] == third.data["fields"]["Description"] == THIRD
    assert second.data["reread"]["fields"] == ["Description"]
    assert not {"reread", "diff_fields"} & third.data.keys()


@pytest.mark.parametrize(
    ("large_text", "texts"),
    [
        (LargeText.MARK, [None, OTHER, None]),
        (LargeText.APPLY, [None, OTHER, f"{OTHER}!"]),
        (LargeText.REREAD, [f"{OTHER}!", OTHER, f"{OTHER}!"]),
    ],
)
async def test_channel_does_as_configured(
    world: World, large_text: LargeText, texts: list[str | None]
) -> None:
    """`None` is a diff: the first has no former text, the last has that of the event before."""
    log, account = MemoryLog(), world.write(FIRST)
    await world.read(Transport.COMETD, 1, log=log)
    for text in (SECOND, OTHER, f"{OTHER}!"):
        world.write(text, account)
    configuration = sandbox_configuration(world.sandbox.url, log={"sqlite": {}})
    channel = {"path": CHANGES, "start": "earliest", "large_text": large_text}
    ingesting = Ingesting(
        settings=Settings.model_validate({**configuration, "channels": [channel], "subscribers": {}}),
        clock=world.clock,
        observers=Observers(metrics=Metrics(clock=world.clock)),
        status=Status(),
        logins=Logins(world.clock),
    )
    await world.until_read(ingesting.run(cast("Any", log)), log, 4)

    described = [event.data["fields"]["Description"] for event in log.events[1:]]
    assert [text if isinstance(text, str) else None for text in described] == texts
