"""A CometD server on a real socket and a plain client that hides nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from streamer.clock import TurnedClock
from streamer.sandbox.cometd import ChannelAccess, CometdLimits, CometdServer
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.usage import OrgUsage
from tests.waiting import until

Messages = list[dict[str, Any]]

PATHS = ("/data/ChangeEvents", "/event/Order_Placed__e", "/topic/OpenInvoices")


class Client:
    """Sends Bayeux messages and returns the answers."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        """Talk to the endpoint at `url`."""
        self.http = http
        self.url = url
        self.token: str | None = "Bearer good"
        self.client_id: str | None = None

    async def post(self, body: Any, **options: Any) -> aiohttp.ClientResponse:
        """Post one JSON body and return the response, read whole."""
        headers = {} if self.token is None else {"Authorization": self.token}
        response = await self.http.post(self.url, json=body, headers=headers, **options)
        await response.read()
        return response

    async def send(self, *messages: dict[str, Any]) -> Messages:
        """Send one request and return all messages of the answer."""
        response = await self.post(list(messages))
        received: Messages = await response.json()
        return received

    async def meta(self, kind: str, **more: Any) -> Messages:
        """Send one meta message of this client."""
        return await self.send(self.message(kind, **more))

    def message(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return a meta message of this client."""
        client = {} if self.client_id is None else {"clientId": self.client_id}
        return {"channel": f"/meta/{kind}", "id": "7", **client, **more}

    async def handshake(self, **more: Any) -> dict[str, Any]:
        """Shake hands and keep the client's id."""
        request = {"version": "1.0", "supportedConnectionTypes": ["long-polling"], **more}
        [reply] = await self.send({"channel": "/meta/handshake", "id": "1", **request})
        self.client_id = reply.get("clientId")
        return reply

    async def connect(self, **more: Any) -> Messages:
        """Connect once, for as long as the server holds it."""
        return await self.meta("connect", connectionType="long-polling", **more)

    async def subscribe(self, path: Any, replay_id: Any = -1) -> dict[str, Any]:
        """Subscribe and return the reply."""
        [reply] = await self.meta("subscribe", subscription=path, ext={"replay": {path: replay_id}})
        return reply

    async def open(self, path: str = PATHS[0], replay_id: int = -1) -> None:
        """Shake hands, connect for the first time and subscribe."""
        await self.handshake()
        await self.connect()
        assert (await self.subscribe(path, replay_id))["successful"]

    async def open_again(self) -> None:
        """Shake hands and connect again, after the session was lost."""
        await self.handshake()
        await self.connect()

    async def replay_ids(self) -> list[int]:
        """Connect once and return the replay ids of the received events."""
        return [m["data"]["event"]["replayId"] for m in await self.connect() if "data" in m]


@dataclass
class Streaming:
    """The server with its clock, bus and faults, for a test to use."""

    stack: AsyncExitStack
    limits: CometdLimits
    revoked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make the parts."""
        self.clock = TurnedClock()
        self.bus = EventBus(self.clock)
        self.usage = OrgUsage(self.clock)
        self.faults = Faults(self.bus)
        self.cometd = CometdServer(
            self.bus,
            self.clock,
            self.faults,
            authorised=lambda header: header is not None and header not in self.revoked,
            access=ChannelAccess(
                refusal=lambda path, _: None if path in PATHS else f"403::Cannot create channel {{{path}}}",
                usage=self.usage,
            ),
            limits=self.limits,
        )
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.add_routes(self.cometd.routes())
        app.on_shutdown.append(self.cometd.close)
        runner = web.AppRunner(app)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "localhost", 0)
        await site.start()
        self.url = f"http://localhost:{runner.addresses[0][1]}/cometd"

    async def client(self, version: str = "64.0") -> Client:
        """Return a client with a cookie jar of its own."""
        http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self.stack.enter_async_context(http)
        return Client(http, f"{self.url}/{version}")

    def publish(self, number: int = 1, path: str = PATHS[0]) -> list[int]:
        """Publish some events and return their replay ids."""
        return [
            self.bus.publish([path], {"schema": "s", "payload": {"Number": number}})
            for number in range(number)
        ]

    async def held(self, request: Any) -> "asyncio.Task[Any]":
        """Start a request that will be held, and return once it is."""
        task = asyncio.ensure_future(request)
        await until(lambda: self.cometd.held > 0)
        return task


@pytest.fixture
def limits() -> CometdLimits:
    """Salesforce's own limits; a test can set others."""
    return CometdLimits()


@pytest.fixture
async def streaming(limits: CometdLimits) -> AsyncIterator[Streaming]:
    """A server that listens."""
    async with AsyncExitStack() as stack:
        server = Streaming(stack, limits)
        await server.start()
        yield server


@pytest.fixture
async def client(streaming: Streaming) -> Client:
    """A client that has not shaken hands."""
    return await streaming.client()


@pytest.fixture
async def subscribed(client: Client) -> Client:
    """A client that gets new change events."""
    await client.open()
    return client
