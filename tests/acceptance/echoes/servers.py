"""Servers that repeat the requests that they refuse."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
from aiohttp import web

from streamer.eventbus.calls import SERVICE
from tests.acceptance.echoes.canaries import GIVEN

_LOGIN = "/services/oauth2/token"
# The org answers these itself while it refuses everything else: a channel needs them.
_NEEDED = (_LOGIN, "/cometd/")
_OWN_HEADERS = {"host", "content-length", "content-encoding", "transfer-encoding", "accept-encoding"}


@dataclass(slots=True)
class EchoTarget:
    """Gives tokens, takes spans, and repeats every other request, in many forms."""

    url: str = ""
    spans: list[bytes] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a login, or repeat the request."""
        if request.path == _LOGIN:
            identity = f"{self.url}/id/00D000000000001EAA/005000000000001AAA"
            token = {"access_token": GIVEN["ACCESS_TOKEN"], "instance_url": self.url, "id": identity}
            return web.json_response(token)
        if request.path == "/oauth/token":
            return web.json_response({"access_token": GIVEN["OAUTH_TOKEN"], "expires_in": 3600})
        told = await repeated(request)
        if request.path.startswith("/taken"):
            return web.json_response({"number": "ECHO", "told": told, told[:300]: True})
        if request.path == "/v1/traces":
            self.spans.append(await request.read())
            # The first are refused in the form of a sentence, and the last are taken.
            return web.Response(status=400 if len(self.spans) < 3 else 200, text=told[:300])
        status = 502 if request.path.endswith("/busy") else 400
        return web.json_response(
            [{"errorCode": "ECHO", "message": told[:490]}, {"rest": told}], status=status
        )


@dataclass(slots=True)
class EchoOrg:
    """Stands in front of an org, and repeats the requests that it refuses.

    It lets logins and CometD through until `refuses_all`; `tokens` are those that it saw.
    """

    org_url: str
    http: aiohttp.ClientSession
    url: str = ""
    refuses_all: bool = False
    tokens: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        """Pass the request on, or repeat it."""
        self.tokens.add(request.headers.get("Authorization", "Bearer ").partition(" ")[2])
        if self.refuses_all or not request.path.startswith(_NEEDED):
            told = await repeated(request)
            if request.path == _LOGIN:
                refused = {"error": "invalid_client", "error_description": told[:490]}
                return web.json_response(refused, status=400)
            return web.json_response([{"errorCode": "ECHO", "message": told[:490]}], status=400)
        return await self._passed(request)

    async def _passed(self, request: web.Request) -> web.Response:
        headers = [
            (name, value) for name, value in request.headers.items() if name.lower() not in _OWN_HEADERS
        ]
        body = await request.read()
        async with self.http.request(
            request.method, self.org_url + request.path_qs, headers=headers, data=body, allow_redirects=False
        ) as answer:
            content = (await answer.read()).replace(self.org_url.encode(), self.url.encode())
            passed = web.Response(status=answer.status, body=content)
            for name, value in answer.headers.items():
                if name.lower() not in _OWN_HEADERS:
                    passed.headers.add(name, value)
            return passed


async def repeated(request: web.Request) -> str:
    """Return the request as text: as it came, in an address, and in base64."""
    content = await request.text() if request.content_type != "application/x-protobuf" else ""
    headers = (f"{name}={value}" for name, value in request.headers.items())
    whole = " ".join([*headers, content, request.path_qs])
    return f"{whole} {quote(whole, safe='')} {base64.b64encode(whole.encode()).decode()}"


@asynccontextmanager
async def serving(server: Any) -> AsyncIterator[str]:
    """Serve what `server` answers, and set its `url`."""
    answer: Callable[[web.Request], Awaitable[web.Response]] = server.answer
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server.url
    finally:
        await runner.cleanup()


@asynccontextmanager
async def pubsub_echo() -> AsyncIterator[str]:
    """Serve a Pub/Sub API that refuses every call, and repeats its metadata in the refusal."""

    async def refuse(_requests: Any, context: Any) -> None:
        told = " ".join(f"{name}={value}" for name, value in context.invocation_metadata())
        context.set_trailing_metadata((("error-code", told[:200]),))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"ECHO {told}")

    async def refuse_stream(requests: Any, context: Any) -> AsyncIterator[bytes]:
        await refuse(requests, context)
        yield b""

    methods: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(refuse) for name in ("GetSchema", "GetTopic", "Publish")
    }
    methods |= {
        name: grpc.stream_stream_rpc_method_handler(refuse_stream) for name in ("Subscribe", "PublishStream")
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
