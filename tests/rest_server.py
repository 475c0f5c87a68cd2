"""A server that logs clients in, and answers calls of the REST API as a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import Rest
from tests.streaming import org_at

VERSION = "64.0"


@asynccontextmanager
async def answering(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
    clock: TurnedClock | None = None,
    *,
    answer_bytes: int = 64 * 1024 * 1024,
) -> AsyncIterator[Rest]:
    """Yield a client of a server that gives `answer` to every call; it takes `answer_bytes` at most."""

    async def login(request: web.Request) -> web.StreamResponse:
        url = f"http://localhost:{request.url.port}"
        identity = f"{url}/id/00D000000000001EAA/005000000000001AAA"
        return web.json_response({"access_token": "T", "instance_url": url, "id": identity})

    app = web.Application()
    app.router.add_post("/services/oauth2/token", login)
    app.router.add_route("*", f"/services/data/v{VERSION}/{{resource:.*}}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        clock = clock or TurnedClock()
        tokens = Tokens(http, org_at(f"http://localhost:{server.port}"), clock)
        yield Rest(http, tokens, clock, api_version=VERSION, answer_bytes=answer_bytes)
