"""A sandbox org, a source that reads it, and readers that keep what they were given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from pydantic import SecretStr
from yarl import URL

from streamer.clock import Clock, TurnedClock
from streamer.errors import StreamerError
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    Event,
    EventId,
    JsonObject,
    OrgId,
    Start,
)
from streamer.ingest.positions.checkpoints import advanced, confirmed, without_appended
from streamer.ingest.read_batch import ReadBatch
from streamer.normalise.malformed import replay_id_of
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.source import CometdSource
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.source import PubSubSource
from streamer.salesforce.sessions import NullObserver
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.org.org import OrgSetup as SandboxOrgSettings
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.settings import Auth, ClientCredentialsAuth, OrgSettings, Transport
from tests.waiting import turned

CHANGES = "/data/ChangeEvents"
ORDERS = "/event/Order_Placed__e"
_LIMITS = CometdLimits()
_PUBSUB_LIMITS = PubSubLimits()
APP = ClientCredentialsAuth(
    flow="client_credentials", client_id="sandbox", client_secret=SecretStr("sandbox-secret")
)


def org_at(url: str, auth: Auth = APP) -> OrgSettings:
    """Return the settings of an org that logs us in at `url`."""
    return OrgSettings(login_url=url, auth=auth)


class Losses(NullObserver):
    """Remembers why sessions were lost, and how many there were."""

    def __init__(self) -> None:
        """Start with none."""
        self.reasons: list[str] = []
        self.handshakes = 0
        self.overdue_count = 0
        self.events = 0

    def handshaken(self) -> None:
        """Count a session."""
        self.handshakes += 1

    def answered(self, events: int, size: int) -> None:  # noqa: ARG002 - the observer's shape
        """Count the events of an answer."""
        self.events += events

    def overdue(self) -> None:
        """Count an answer that did not come."""
        self.overdue_count += 1

    def lost(self, reason: str) -> None:
        """Keep the reason."""
        self.reasons.append(reason)


@dataclass(kw_only=True)
class Reader:
    """Keeps the numbers of the events of one channel, each once, as ingest and the log do.

    An answer is settled when it was read to its end. Only messages of the
    open replay id may come again.
    """

    path: str
    seen: list[int] = field(default_factory=list)
    taken: int = 0
    empty: int = 0
    error: StreamerError | None = None
    batches: list[Batch] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    _checkpoint: Checkpoint | None = None
    _pending: Checkpoint | None = None

    async def read(self, source: CometdSource | PubSubSource, org: OrgId, after: Checkpoint | Start) -> None:
        """Read until the source raises; wait at the gate with each batch."""
        channel = Channel(org=org, path=self.path)
        self._checkpoint = self._pending = after if isinstance(after, Checkpoint) else None
        try:
            async with aclosing(source.batches(channel, after=after)) as batches:
                async for batch in batches:
                    self.taken += len(batch.messages)
                    await self.gate.wait()
                    self._keep(batch)
                    if not batch.more and self._pending is not None:
                        self._checkpoint = self._pending
                        source.settle(self._pending)
        except StreamerError as error:
            self.error = error

    def _keep(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.empty += not batch.messages
        if not (batch.messages or batch.unreadable):
            self._pending = (
                confirmed(self._pending, batch) if self._pending is self._checkpoint else self._pending
            )
            return
        read = ReadBatch(events=[_event(message, self.path) for message in batch.messages])
        if self._checkpoint is not None:
            read = without_appended(read, self._checkpoint)
        self._pending = advanced(self._pending, read, batch)
        self.seen += [int(event.id) for event in read.events]


def _event(message: Any, path: str) -> Event:
    data = message["data"]
    return Event(
        id=EventId(str(int(data["payload"]["n"]))),
        source="",
        type="",
        subject=None,
        time=data["payload"].get("CreatedDate", "2025-01-01T00:00:00.000Z"),
        key="",
        channel=path,
        replay_id=replay_id_of(data["event"]),
        data={},
    )


def message(sandbox: Sandbox, clock: Clock, **fields: Any) -> JsonObject:
    """Return the data of a message with `fields`, of a schema that both transports know."""
    schemas = sandbox.org.event_schemas
    created = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
    return {
        "schema": schemas.id_of(schemas.open_event("Numbered__e", fields)),
        "payload": {"CreatedDate": created.replace("+00:00", "Z"), "CreatedById": "005", **fields},
    }


@dataclass(kw_only=True)
class World:
    """Everything that a test of the stream touches, on one turned clock."""

    clock: TurnedClock
    sandbox: Sandbox
    tokens: Tokens
    source: CometdSource | PubSubSource
    losses: Losses
    published: dict[str, int] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def org(self) -> OrgId:
        """The id of the sandbox's org."""
        return OrgId(self.sandbox.org.settings.org_id)

    def publish(self, count: int, path: str = CHANGES, **more: Any) -> None:
        """Publish events that are numbered from 0 in each channel."""
        for _ in range(count):
            number = self.published.get(path, 0)
            self.published[path] = number + 1
            self.sandbox.bus.publish([path], message(self.sandbox, self.clock, n=number), **more)

    def read(self, path: str = CHANGES, *, after: Checkpoint | Start = Start.EARLIEST) -> Reader:
        """Start a reader of `path`."""
        reader = Reader(path=path)
        reader.gate.set()
        reading = reader.read(self.source, self.org, after)
        self.tasks.append(asyncio.create_task(reading, name=f"reader {path}"))
        return reader

    async def until(self, condition: Callable[[], Any], *, turning: float = 0.2) -> None:
        """Turn the clock a little at a time until `condition` holds."""
        await turned(self.clock, condition, step_s=turning)

    async def all_read(self, *readers: Reader, turning: float = 0.2) -> None:
        """Wait until the readers have seen every event; fails unless each was seen once and in order."""
        for reader in readers:
            wanted = list(range(self.published.get(reader.path, 0)))
            await self.until(lambda: len(reader.seen) >= len(wanted), turning=turning)  # noqa: B023 - awaited at once
            assert reader.seen == wanted
            assert reader.error is None


def source_over(
    transport: Transport, sandbox: Sandbox, tokens: Tokens, clock: Clock, losses: Losses
) -> CometdSource | PubSubSource:
    """Return a source that reads `sandbox` over `transport`."""
    if transport is Transport.COMETD:
        return CometdSource(tokens, clock, observer=losses, random=lambda: 0.5)
    options = PubSubOptions(endpoint=URL(f"http://{sandbox.pubsub_address}"))
    return PubSubSource(tokens, clock, options=options, observer=losses, random=lambda: 0.5)


@asynccontextmanager
async def streaming(
    auth: Auth = APP,
    cometd: CometdLimits = _LIMITS,
    pubsub: PubSubLimits = _PUBSUB_LIMITS,
    transport: Transport = Transport.COMETD,
) -> AsyncIterator[World]:
    """Serve a fresh org and a source that logs in to it by `auth`, and reads it over `transport`."""
    clock, losses = TurnedClock(), Losses()
    settings = SandboxSettings(
        org=SandboxOrgSettings(objects=("Order_Placed__e",), closed=True), cometd=cometd, pubsub=pubsub
    )
    async with (
        Sandbox(clock, pubsub_port=0, settings=settings) as sandbox,
        aiohttp.ClientSession() as http,
    ):
        tokens = Tokens(http, org_at(sandbox.url, auth), clock)
        async with source_over(transport, sandbox, tokens, clock, losses) as source:
            world = World(clock=clock, sandbox=sandbox, tokens=tokens, source=source, losses=losses)
            yield world
            for task in world.tasks:
                task.cancel()
            await asyncio.gather(*world.tasks, return_exceptions=True)
