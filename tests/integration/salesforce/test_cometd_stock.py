"""A stock CometD server with behaviour that Salesforce can also have: the client accepts it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.events import Channel, OrgId, Start
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.source import CometdSource
from tests.streaming import CHANGES, ORDERS, Losses, org_at
from tests.waiting import limited

ORG = OrgId("00D000000000001EAA")
ID = {"id": f"https://localhost/id/{ORG}/005000000000001AAA", "access_token": "T"}


class Script:
    """Answers each request with the next thing written down for its channel; connects wait for one."""

    def __init__(self) -> None:
        """Start with a server that shakes hands."""
        self.asked: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self._answers: dict[str, asyncio.Queue[Any]] = {}
        self._came = asyncio.Event()

    def answer(self, kind: str, *messages: dict[str, Any]) -> None:
        """Answer the next request of that kind with `messages`; a sole one is sent without an array."""
        body: Any = messages[0] if len(messages) == 1 else list(messages)
        self._queue(kind).put_nowait(body)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Give the answer."""
        body = await request.read()
        self.sizes.append(len(body))
        messages = orjson.loads(body)
        self.asked += messages
        self._came.set()
        kind = messages[0]["channel"].removeprefix("/meta/")
        if kind == "handshake":
            return web.json_response([{**ok("handshake"), "clientId": "c1"}])
        if kind == "connect" or not self._queue(kind).empty():
            return web.json_response(await self._queue(kind).get())
        return web.json_response([{**ok(kind), "id": message["id"]} for message in messages])

    def count(self, kind: str) -> int:
        """Return how many messages of that kind were asked."""
        return sum(message["channel"] == f"/meta/{kind}" for message in self.asked)

    async def reached(self, kind: str, count: int) -> None:
        """Wait until that many messages of that kind were asked."""
        async with limited(f"{count} messages {kind}"):
            while self.count(kind) < count:
                self._came.clear()
                await self._came.wait()

    def _queue(self, kind: str) -> asyncio.Queue[Any]:
        return self._answers.setdefault(kind, asyncio.Queue())


def ok(kind: str, **more: Any) -> dict[str, Any]:
    """Return a successful reply."""
    return {"channel": f"/meta/{kind}", "successful": True, **more}


def event(number: int, path: str = CHANGES) -> dict[str, Any]:
    """Return an event message."""
    return {"channel": path, "data": {"payload": {"n": number}, "event": {"replayId": number}}}


@asynccontextmanager
async def stock(script: Script, losses: Losses) -> AsyncIterator[CometdSource]:
    """Serve the script; yields a source that reads it."""

    async def login(request: web.Request) -> web.StreamResponse:
        return web.json_response({**ID, "instance_url": f"http://localhost:{request.url.port}"})

    app = web.Application()
    app.router.add_post("/services/oauth2/token", login)
    app.router.add_post("/cometd/64.0", script.serve)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        clock = TurnedClock()
        tokens = Tokens(http, org_at(f"http://localhost:{server.port}"), clock)
        async with CometdSource(tokens, clock, observer=losses, random=lambda: 0.0) as source:
            yield source


async def read(source: CometdSource, count: int, path: str = CHANGES) -> list[int]:
    """Return the numbers of the next `count` events."""
    numbers: list[int] = []
    channel = Channel(org=ORG, path=path)
    async with limited(f"{count} events"), aclosing(source.batches(channel, after=Start.EARLIEST)) as batches:
        async for batch in batches:
            numbers += [message["data"]["payload"]["n"] for message in batch.messages]
            if len(numbers) >= count:
                break
    return numbers


async def test_one_reply_may_speak_for_several_channels() -> None:
    """A list of channels in one reply, whose id came back as another type, accepts them all."""
    script, losses = Script(), Losses()
    script.answer("subscribe", ok("subscribe", subscription=[CHANGES, ORDERS], id=7))
    script.answer("connect", event(1), event(2, ORDERS), ok("connect"))
    async with stock(script, losses) as source:
        changes, orders = await asyncio.gather(read(source, 1), read(source, 1, ORDERS))
    assert (changes, orders) == ([1], [2])
    assert losses.reasons == []


async def test_reply_to_a_subscription_is_known_by_its_id() -> None:
    """A reply that names no channel answers the request of that id, even as a number."""
    script, losses = Script(), Losses()
    script.answer("subscribe", ok("subscribe", id=2))
    script.answer("connect", event(1), ok("connect"))
    async with stock(script, losses) as source:
        assert await read(source, 1) == [1]
    assert losses.reasons == []


async def test_events_beside_the_reply_to_a_subscription_are_taken() -> None:
    """They are as good as those of a connect."""
    script, losses = Script(), Losses()
    script.answer("subscribe", event(1), ok("subscribe", subscription=CHANGES), event(2))
    script.answer("connect", event(3), ok("connect"))
    async with stock(script, losses) as source:
        assert await read(source, 3) == [1, 2, 3]
    assert losses.reasons == []


async def test_events_that_overtake_a_held_connect_are_asked_for_again_in_order() -> None:
    """Two answers at once have no order: all is read again, the subscription first."""
    script, losses = Script(), Losses()
    async with stock(script, losses) as source, asyncio.TaskGroup() as tasks:
        changes = tasks.create_task(read(source, 1))
        await script.reached("connect", 1)
        script.answer("subscribe", ok("subscribe", subscription=ORDERS), event(5, ORDERS))
        script.answer("subscribe", *(ok("subscribe", subscription=path) for path in (CHANGES, ORDERS)))
        orders = tasks.create_task(read(source, 2, ORDERS))
        await script.reached("connect", 2)
        script.answer("connect", event(4, ORDERS), event(5, ORDERS), event(9), ok("connect"))
    assert (changes.result(), orders.result()) == ([9], [4, 5])
    assert losses.reasons == ["overtaken"]


async def test_unknown_failure_with_the_advice_to_retry_keeps_the_session() -> None:
    """Where nothing is known of the cause, the server's advice is followed."""
    script, losses = Script(), Losses()
    failed = {"channel": "/meta/connect", "successful": False, "error": "500::Something new"}
    script.answer("connect", {**failed, "advice": {"reconnect": "retry", "interval": 0}})
    script.answer("connect", event(1), ok("connect"))
    async with stock(script, losses) as source:
        assert await read(source, 1) == [1]
    assert script.count("handshake") == 1
    assert losses.reasons == []


async def test_unanswered_subscription_is_not_dropped_in_silence() -> None:
    """A channel that the reply leaves out is subscribed again on a new session."""
    script, losses = Script(), Losses()
    script.answer("subscribe", ok("subscribe", subscription=ORDERS))
    async with stock(script, losses) as source:
        reading = asyncio.gather(read(source, 1, ORDERS), read(source, 1))
        await script.reached("subscribe", 4)
        # The first answer is for the connect of the former session, if that had one.
        script.answer("connect", ok("connect"))
        script.answer("connect", event(1), event(2, ORDERS), ok("connect"))
        orders, changes = await reading
    assert (orders, changes) == ([2], [1])


async def test_hundreds_of_channels_are_subscribed_in_small_requests() -> None:
    """No request reaches the 32,768 bytes that Salesforce refuses."""
    script, losses = Script(), Losses()
    paths = [f"/event/A_Platform_Event_With_A_Rather_Long_Name_{number}__e" for number in range(400)]
    script.answer("connect", *(event(1, path) for path in paths), ok("connect"))
    async with stock(script, losses) as source:
        await asyncio.gather(*(read(source, 1, path) for path in paths))
    assert script.count("subscribe") == 400
    assert max(script.sizes) < 32_768
