"""An org that answers as Salesforce does, until a test gives it other answers."""

import asyncio
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from streamer.eventbus import FetchResponse
from streamer.sandbox import Sandbox
from tests.pubsub_server import PubSubServer

_SLICE = 256 * 1024
_HOPS = frozenset({"host", "content-length", "transfer-encoding", "content-encoding", "connection"})
_MOST_BYTES = 100_000_000
_GZIP_HEAD = bytes.fromhex("1f8b08000000000002ff")


@dataclass(frozen=True, kw_only=True)
class HostileAnswer:
    """Answer to the next request whose method, path and body match `to`."""

    to: str
    body: Callable[[Any], bytes]
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    drips: bool = False


@dataclass(kw_only=True)
class HostileOrg:
    """Server between a daemon and a sandbox; `answers` come once each, and `given` counts them.

    An answer that the daemon has stopped reading counts too.
    """

    sandbox: Sandbox
    answers: deque[HostileAnswer] = field(default_factory=deque)
    given: int = 0
    url: str = ""

    @classmethod
    @asynccontextmanager
    async def running(cls, sandbox: Sandbox) -> AsyncIterator["HostileOrg"]:
        """Serve inside the context."""
        org = cls(sandbox=sandbox)
        application = web.Application(client_max_size=_MOST_BYTES)
        application.router.add_route("*", "/{path:.*}", org._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0)
        await site.start()
        org.url = f"http://localhost:{runner.addresses[0][1]}"
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(
            cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=None)
        ) as org._http:
            try:
                yield org
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = f"{request.method} {request.path_qs} {body[:500].decode('utf-8', 'replace')}"
        for answer in self.answers:
            if re.search(answer.to, asked):
                self.answers.remove(answer)
                return await self._answer(request, body, answer)
        try:
            return await self._forwarded(request, body)
        except aiohttp.ClientError:
            # The sandbox has ended.
            return web.Response(status=502)

    async def _answer(self, request: web.Request, body: bytes, answer: HostileAnswer) -> web.StreamResponse:
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError:
            asked = None
        content = answer.body(asked)
        headers = {"Content-Type": "application/json", **answer.headers}
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(content)
        try:
            await response.prepare(request)
            step = max(1, len(content) // 50) if answer.drips else _SLICE
            for begin in range(0, len(content), step):
                await response.write(content[begin : begin + step])
                if answer.drips:
                    await asyncio.sleep(0.1)
        finally:
            self.given += 1
        return response

    async def _forwarded(self, request: web.Request, body: bytes) -> web.Response:
        headers = _without_hops(request.headers)
        url = f"{self.sandbox.url}{request.path_qs}"
        async with self._http.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            content = await answer.read()
            if "json" in answer.headers.get("Content-Type", ""):
                content = content.replace(self.sandbox.url.encode(), self.url.encode())
            return web.Response(status=answer.status, headers=_without_hops(answer.headers), body=content)

    _http: aiohttp.ClientSession = field(init=False, repr=False)


class HostileEventBus(PubSubServer):
    """Pub/Sub API server whose next answer can be any bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: deque[bytes] = deque()

    def answer_with(self, *raw: bytes) -> None:
        """Let the next answers of the open streams be these bytes."""
        self.raw += raw
        for stream in self.streams:
            if not stream.is_over:
                stream.keep_alives.extend(b"" for _ in raw)
                stream.changed.set()

    def _written(self, response: FetchResponse) -> bytes:
        return self.raw.popleft() if self.raw else super()._written(response)


def _without_hops(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOPS)


def gzipped(content: bytes, times: int = 1) -> bytes:
    """Return `content`, repeated so often, as gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush the packer forgets all earlier bytes, so the same bytes can follow.
    packed = (packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)) * times + packer.flush()
    checksum = 0
    for _ in range(times):
        checksum = zlib.crc32(content, checksum)
    size = len(content) * times & 0xFFFFFFFF
    return _GZIP_HEAD + packed + checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
