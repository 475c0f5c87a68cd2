"""Scripted target: an HTTP server on this machine with scripted replies, which keeps all requests."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Self

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

_LARGEST_BODY = 64 * 1024 * 1024
_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """HTTP answer. The reply's `Content-Type` is JSON unless `headers` has another type."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"ok": true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """HTTP answer whose body repeats the request's path, headers and body, as some error pages do."""

    status: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Any bytes, valid HTTP or not, followed by the end of the connection."""

    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No answer while the target is open."""


Answering = Reply | Echo | Raw | Silence
"""One kind of reply."""

HANG_UP = Raw()
"""Reply that closes the connection without an answer."""

CUT_OFF = Raw(
    content=b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"ok": t'
)
"""Reply that closes the connection in the middle of a valid answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request. `path` includes the query, and the names of `headers` ignore case."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes


class ScriptedTarget:
    """HTTP server on a free loopback port, for any method and path, while its context is open.

    Each reply given to `then` answers one request, in order. All further requests get
    `usual`, by default 200 and `{"ok": true}`. Requests to paths in `aside`, such as a
    token endpoint, get the replies in `aside`; these requests are neither kept nor
    counted.
    """

    def __init__(
        self, usual: Answering | None = None, *, aside: Mapping[str, Answering] = MappingProxyType({})
    ) -> None:
        self.usual: Answering = usual or Reply()
        self._aside = aside
        self._script: deque[Answering] = deque()
        self._received: deque[Received] = deque(maxlen=_KEPT)
        self._total = 0
        self._arrived = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end."""
        return f"http://localhost:{self._port}"

    @property
    def requests(self) -> Sequence[Received]:
        """The last 10,000 received requests, in order."""
        return tuple(self._received)

    @property
    def connections(self) -> int:
        """Number of open connections."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    def then(self, *replies: Answering) -> None:
        """Answer the next requests with `replies`, one each, after the replies of earlier calls."""
        self._script.extend(replies)

    async def received(self, total: int) -> None:
        """Wait until `total` requests have arrived. The requests are not necessarily answered yet."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._total >= total)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Silent replies end first, because the server would wait for them.
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answering = self._aside.get(request.path)
        if answering is None:
            answering = self._script.popleft() if self._script else self.usual
            await self._keep(request, body)
        return await self._answer(request, body, answering)

    async def _keep(self, request: web.Request, body: bytes) -> None:
        received = Received(method=request.method, path=request.path_qs, headers=request.headers, body=body)
        async with self._arrived:
            self._received.append(received)
            self._total += 1
            self._arrived.notify_all()

    async def _answer(self, request: web.Request, body: bytes, answering: Answering) -> web.Response:
        match answering:
            case Reply():
                headers = CIMultiDict({"Content-Type": "application/json"})
                headers.update(answering.headers)
                return web.Response(status=answering.status, headers=headers, body=answering.body)
            case Echo():
                return web.json_response(_said(request, body), status=answering.status)
            case Raw():
                return _hang_up(request, answering.content)
            case Silence():
                await self._closing.wait()
                return _hang_up(request)


def _said(request: web.Request, body: bytes) -> dict[str, object]:
    headers = {str(name): value for name, value in request.headers.items()}
    return {"path": request.path_qs, "headers": headers, "body": body.decode(errors="replace")}


def _hang_up(request: web.Request, content: bytes = b"") -> web.Response:
    if request.transport is not None:
        request.transport.write(content)
        request.transport.close()
    return web.Response()
