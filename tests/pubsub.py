"""A world that ingests from a scripted Pub/Sub API server over gRPC, on a turned clock."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
from pydantic import SecretStr
from yarl import URL

from streamer.clock import TurnedClock
from streamer.errors import Stop
from streamer.events import Batch, Channel, OrgId, Start
from streamer.ingest.positions import OnRefused, Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.source import PubSubSource
from streamer.sandbox.org.org import OrgSetup as SandboxOrgSettings
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.settings import ClientCredentialsAuth, OrgSettings
from tests.pubsub_server import ORDERS, PubSubServer, order, serving
from tests.streaming import Losses
from tests.waiting import turned


@dataclass(slots=True, kw_only=True)
class BusyLog(MemoryLog):
    """Log in memory that commits only while its gate is open, and counts the events of each commit."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    commits: list[int] = field(default_factory=list)

    def keep(self, events: Sequence[Any], *rest: Any) -> None:
        """Count, and keep."""
        self.commits.append(len(events))
        MemoryLog.keep(self, events, *rest)


class GatedSource:
    """Source that hands its batches on only while the log's gate is open, as a busy log would."""

    def __init__(self, source: PubSubSource, log: BusyLog) -> None:
        """Read from `source`."""
        self._source = source
        self._log = log
        self.batches_seen: list[Batch] = []
        self.settle = source.settle

    async def batches(self, channel: Channel, *, after: Any) -> Any:
        """Yield what the source yields; the consumer of an answer's end waits for the gate."""
        async for batch in self._source.batches(channel, after=after):
            self.batches_seen.append(batch)
            if not batch.more:
                await self._log.gate.wait()
            yield batch


@dataclass(kw_only=True)
class World:
    """Everything that a test of the Pub/Sub API touches, on one turned clock."""

    clock: TurnedClock
    server: PubSubServer
    sandbox: Sandbox
    source: PubSubSource
    losses: Losses
    log: BusyLog = field(default_factory=BusyLog)
    gated: GatedSource = field(init=False)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        """Open the log's gate."""
        self.log.gate.set()
        self.gated = GatedSource(self.source, self.log)

    def channel(self, path: str = ORDERS) -> Channel:
        """Return the org's channel of `path`."""
        return Channel(org=OrgId(self.sandbox.org.settings.org_id), path=path)

    def read(
        self, path: str = ORDERS, *, start: Start = Start.EARLIEST, on_refused: OnRefused = "fail"
    ) -> None:
        """Start to ingest `path` into the log."""
        channel = self.channel(path)
        ingest = Ingest(
            source=self.gated,
            log=ChannelLog(
                channel=channel,
                log=self.log,
                clock=self.clock,
                observer=Metrics(clock=self.clock).channel(channel),
            ),
            messages=MessageReader(
                channel=channel, normalise=normaliser_for(channel), quarantine=Quarantine(clock=self.clock)
            ),
            positioning=Positioning(channel=channel, clock=self.clock, start=start, on_refused=on_refused),
        )
        self.tasks[path] = asyncio.create_task(ingest.run(), name=f"ingest {path}")

    async def stop(self, path: str = ORDERS) -> None:
        """Stop to ingest `path`, as a killed process would."""
        task = self.tasks.pop(path)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop everything that is ingested."""
        for path in [*self.tasks]:
            await self.stop(path)

    async def refused(self, path: str = ORDERS) -> Stop:
        """Return the error that ended the ingest of `path`."""
        task = self.tasks[path]
        await self.until(task.done)
        error = task.exception()
        assert isinstance(error, Stop), error
        return error

    def publish(self, count: int, path: str = ORDERS) -> None:
        """Publish events that are numbered from 0 in each topic."""
        first = self.published[path]
        self.published[path] += count
        numbers = range(first, first + count)
        self.server.publish(*(order(number, at=self.clock.now()) for number in numbers), path=path)

    def numbers(self, path: str = ORDERS) -> list[int]:
        """Return the numbers of the events in the log."""
        return [int(event.data["fields"]["N__c"]) for event in self.log.events if event.channel == path]

    async def until(self, condition: Callable[[], Any], *, turning: float = 0.05) -> None:
        """Turn the clock a little at a time until `condition` holds."""
        await turned(self.clock, condition, step_s=turning)

    async def all_read(self, *paths: str, turning: float = 0.05) -> None:
        """Wait until the log has every event of `paths`; fails unless it has each once and in order."""
        for path in paths or (ORDERS,):
            wanted = list(range(self.published[path]))
            await self.until(lambda: len(self.numbers(path)) >= len(wanted), turning=turning)  # noqa: B023 - awaited at once
            assert self.numbers(path) == wanted


def _directly(port: int) -> PubSubOptions:
    return PubSubOptions(endpoint=URL(f"http://127.0.0.1:{port}"))


@asynccontextmanager
async def pubsub_world(
    configured: Callable[[int], OrgSettings | PubSubOptions] | None = None,
    credentials: grpc.ServerCredentials | None = None,
) -> AsyncIterator[World]:
    """Serve a scripted Pub/Sub API beside a sandbox that logs in, and a source that reads it.

    `configured` returns the settings of the org, or options, for the server's
    port; by default the source connects to it directly. With `credentials` the
    server has TLS.
    """
    clock, losses = TurnedClock(), Losses()
    settings = SandboxSettings(org=SandboxOrgSettings(objects=("Order_Placed__e",), closed=True))
    app = ClientCredentialsAuth(
        flow="client_credentials", client_id="sandbox", client_secret=SecretStr("sandbox-secret")
    )
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(credentials))
        sandbox = await stack.enter_async_context(Sandbox(clock, settings=settings))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        # The login is not what a proxy is tested with.
        login = OrgSettings(login_url=sandbox.url, auth=app, proxy=SecretStr("direct"))
        tokens = Tokens(http, login, clock)
        options = (configured or _directly)(server.port)
        if isinstance(options, OrgSettings):
            options = PubSubOptions.of(options)
        source = PubSubSource(tokens, clock, options=options, observer=losses, random=lambda: 0.5)
        await stack.enter_async_context(source)
        world = World(clock=clock, server=server, sandbox=sandbox, source=source, losses=losses)
        stack.push_async_callback(world.close)
        yield world
