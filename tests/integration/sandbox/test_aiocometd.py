"""An independent client, aiocometd-ng, works unchanged against the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiocometd_ng.client import Client
from aiocometd_ng.constants import ConnectionType
from aiocometd_ng.exceptions import ServerError
from aiocometd_ng.extensions import AuthExtension
from aiohttp import web

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox as WholeSandbox
from streamer.sandbox.cometd import ChannelAccess, CometdLimits, CometdServer
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from tests.waiting import limited

CHANGES = "/data/ChangeEvents"
ORDERS = "/event/Order_Placed__e"


class Replay(AuthExtension):
    """Adds the token, and the replay id of each subscription, as Salesforce demands."""

    def __init__(self, positions: dict[str, int], token: str = "good") -> None:  # noqa: S107 - the token of the server below
        """Subscribe from `positions`, and keep them up to date with received events."""
        self.positions = positions
        self.token = token

    async def outgoing(self, payload: list[dict[str, Any]], headers: dict[str, str]) -> None:
        """Add token and replay ids to an outgoing message."""
        headers["Authorization"] = f"Bearer {self.token}"
        for message in payload:
            if message["channel"] == "/meta/subscribe":
                path = message["subscription"].partition("?")[0]
                message["ext"] = {"replay": {path: self.positions[path]}}

    async def incoming(self, payload: list[dict[str, Any]], _: dict[str, str] | None = None) -> None:
        """Remember the newest position of each channel."""
        for message in payload:
            if "data" in message:
                self.positions[message["channel"]] = message["data"]["event"]["replayId"]

    async def authenticate(self) -> None:
        """The token of a test does not change."""


class Sandbox:
    """The CometD server alone, on the machine's clock."""

    def __init__(self) -> None:
        """Serve two channels to one token."""
        clock = SystemClock()
        self.bus = EventBus(clock)
        self.faults = Faults(self.bus)
        self.cometd = CometdServer(
            self.bus,
            clock,
            self.faults,
            authorised=lambda header: header == "Bearer good",
            access=ChannelAccess(
                refusal=lambda path, _: (
                    None if path in {CHANGES, ORDERS} else f"403::Cannot create channel {{{path}}}"
                )
            ),
            limits=CometdLimits(response_events=40),
        )
        self.url = ""

    def publish(self, count: int, path: str = CHANGES) -> list[int]:
        """Publish some events and return their replay ids."""
        return [self.bus.publish([path], {"payload": {"Number": n}}) for n in range(count)]

    @asynccontextmanager
    async def client(self, **positions: int) -> AsyncIterator[Client]:
        """Open a client that starts from `positions`, or with new events where there is none."""
        replay = Replay({CHANGES: -1, ORDERS: -1, **positions})
        async with Client(self.url, ConnectionType.LONG_POLLING, auth=replay) as client:
            yield client


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A CometD server that listens."""
    sandbox = Sandbox()
    application = web.Application()
    application.add_routes(sandbox.cometd.routes())
    application.on_shutdown.append(sandbox.cometd.close)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0).start()
    sandbox.url = f"http://localhost:{runner.addresses[0][1]}/cometd/64.0"
    yield sandbox
    await runner.cleanup()


async def received(client: Client, count: int) -> list[int]:
    """Return the replay ids of the next `count` events."""
    async with limited("events"):
        return [(await client.receive())["data"]["event"]["replayId"] for _ in range(count)]


async def test_new_events_reach_the_client(sandbox: Sandbox) -> None:
    """It shakes hands, subscribes to two channels and gets the events of both."""
    async with sandbox.client() as client:
        await client.subscribe(CHANGES)
        await client.subscribe(ORDERS)
        ids = sandbox.publish(2) + sandbox.publish(2, ORDERS)
        assert await received(client, 4) == ids


async def test_backlog_reaches_the_client_from_its_position(sandbox: Sandbox) -> None:
    """A replay id brings everything after it, over several answers."""
    ids = sandbox.publish(200)
    async with sandbox.client(**{CHANGES: ids[9]}) as client:
        await client.subscribe(CHANGES)
        assert await received(client, 190) == ids[10:]


async def test_unknown_channel_is_refused(sandbox: Sandbox) -> None:
    """The client raises the sandbox's error."""
    async with sandbox.client(**{"/event/Nope__e": -1}) as client:
        with pytest.raises(ServerError) as refused:
            await client.subscribe("/event/Nope__e")
        assert refused.value.error_code == 403


async def test_client_comes_back_after_it_was_forgotten(sandbox: Sandbox) -> None:
    """The handshake advice leads it to a new session, where it resumes from its position."""
    async with sandbox.client() as client:
        await client.subscribe(CHANGES)
        ids = sandbox.publish(1)
        assert await received(client, 1) == ids
        sandbox.faults.forget_client()
        ids = sandbox.publish(3)
        assert await received(client, 3) == ids
        assert sandbox.faults.struck["forget_client"] == 1


async def test_push_topic_and_generic_channel_reach_the_client() -> None:
    """In the whole sandbox, where a filter leaves out what does not match."""
    filtered, demo = "/topic/Accounts?Industry='Energy'", "/u/Demo"
    async with WholeSandbox(SystemClock()) as whole:
        with whole.org.transaction() as transaction:
            query = "SELECT Id, Name, Industry FROM Account"
            transaction.create("PushTopic", {"Name": "Accounts", "Query": query})
        token = whole.tokens.issue(user_id=whole.org.settings.user_id, client_id="sandbox")
        auth = Replay({"/topic/Accounts": -1, demo: -1}, token)
        async with Client(f"{whole.url}/cometd/64.0", ConnectionType.LONG_POLLING, auth=auth) as client:
            await client.subscribe(filtered)
            await client.subscribe(demo)
            with whole.org.transaction() as transaction:
                transaction.create("Account", {"Name": "Bolt", "Industry": "Retail"})
                transaction.create("Account", {"Name": "Acme", "Industry": "Energy"})
            whole.streaming.generic.push(demo, "any string")
            async with limited("events"):
                topic, generic = [(await client.receive())["data"] for _ in range(2)]
    assert topic["sobject"]["Name"] == "Acme"
    assert generic["payload"] == "any string"
