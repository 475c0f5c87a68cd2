"""A target on this machine that answers as a test says, and keeps what it was sent."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Self

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from streamer.testing.http.replies import Answering, Echo, Raw, Reply, Silence

_LARGEST_BODY = 64 * 1024 * 1024
_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request: `path` with its query, `headers` by any case of their names, `body` as it came."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes


class ScriptedTarget:
    """Listens on loopback while its context is open, and takes any method and path.

    What `then` was given answers one request each, in order; after that
    `usual` does. Requests to the paths of `aside`, such as that of a token
    endpoint, are answered as it says, and neither kept nor counted.
    """

    def __init__(
        self, usual: Answering | None = None, *, aside: Mapping[str, Answering] = MappingProxyType({})
    ) -> None:
        """Answer with `usual`, by default 200 and `{"ok": true}`; listen on a free port."""
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
        """Where it listens, without a slash at the end."""
        return f"http://localhost:{self._port}"

    @property
    def requests(self) -> Sequence[Received]:
        """What it was sent, in order; of more than 10,000 the last."""
        return tuple(self._received)

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    def then(self, *replies: Answering) -> None:
        """Answer the next requests with `replies`, one each, after those that were given before."""
        self._script.extend(replies)

    async def received(self, total: int) -> None:
        """Return once `total` requests have come; they may not be answered yet."""
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
        # Those who are kept waiting go first, or closing would wait for them.
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
