"""HTTP server that all receivers build on: address, journal and faults."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.faults import TargetFaults
from streamer.sandbox.targets.journal import Journal, JournalEntry

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_RECORDED_HEADERS = ("Content-Type", "Idempotency-Key", "User-Agent", "webhook-id")
_LARGEST_BODY = 4 * 1024 * 1024


class Receiver(ABC):
    """API of a target, which listens on loopback while its context is open."""

    def __init__(self, clock: Clock, *, port: int = 0) -> None:
        """Build a receiver on `port`; port 0 takes a free port."""
        self.journal = Journal()
        self.faults = TargetFaults()
        self._clock = clock
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://localhost:{self._port}"

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[self._observe])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def accepts(self, response: web.StreamResponse) -> bool:
        """Return whether the API's own `response` reports success."""
        return 200 <= response.status < 300  # noqa: PLR2004 - the class of success

    def is_exempt(self, request: web.Request) -> bool:  # noqa: ARG002 - most receivers exempt nothing
        """Return whether faults and the journal ignore `request`, such as a request for a token."""
        return False

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        content = await request.read()
        if self.is_exempt(request):
            return await handler(request)
        at = self._clock.now()
        if self.faults.slow_s:
            await self._clock.sleep(self.faults.slow_s)
        if self.faults.down:
            return _close_connection(request)
        response = self._fault(request)
        accepted = False
        if response is None:
            response = await _handled(request, handler)
            accepted = self.accepts(response)
        self.journal.add(_received(request, content, at=at, status=response.status, accepted=accepted))
        return self._lose_answer(request, response)

    def _fault(self, request: web.Request) -> web.StreamResponse | None:
        faults = self.faults
        if faults.retry_after is not None:
            return self._failure(request, faults.busy_status, {"Retry-After": faults.retry_after})
        if faults.unauthorized:
            return self._failure(request, 401)
        if faults.fails(key_of(request)):
            return self._failure(request, faults.fail_status)
        if faults.malformed_answer is not None:
            body, content_type = faults.malformed_answer.value
            return web.Response(body=body, content_type=content_type)
        return None

    def _failure(
        self, request: web.Request, status: int, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        if 300 <= status < 400:  # noqa: PLR2004 - the class of redirections
            headers = {"Location": "/elsewhere"}
        body: JsonObject = {"error": "injected_fault"}
        if self.faults.echo:
            # Some servers dump the whole request into their error pages.
            body |= {
                "path": request.path_qs,
                "headers": {str(name): value for name, value in request.headers.items()},
            }
        return answer(status, body, headers)

    def _lose_answer(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        if self.faults.lose_answers == 0:
            return response
        self.faults.lose_answers -= 1
        return _close_connection(request)


def answer(status: int, body: JsonObject, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", headers=headers
    )


def key_of(request: web.Request) -> str | None:
    """Return the idempotency key of `request`."""
    return request.headers.get("Idempotency-Key")


async def json_object(request: web.Request) -> JsonObject | None:
    """Return the body of `request` as a JSON object, or `None` if it is not a JSON object."""
    body = _json(await request.read())
    return body if isinstance(body, dict) else None


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as exc:
        # The server answers a request without a route, not the API.
        return web.Response(status=exc.status, text=f"<h1>{exc.reason}</h1>", content_type="text/html")


def _close_connection(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _received(
    request: web.Request, content: bytes, *, at: float, status: int, accepted: bool
) -> JournalEntry:
    return JournalEntry(
        at=at,
        key=key_of(request),
        method=request.method,
        path=request.path_qs,
        body=_json(content),
        headers={name: request.headers[name] for name in _RECORDED_HEADERS if name in request.headers},
        status=status,
        accepted=accepted,
    )


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode(errors="replace")
