"""Bounds on the connections of a listener."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

_log = structlog.get_logger()

MOST_CONNECTIONS = 64
"""Largest number of clients that are connected at a time."""

_SILENT_S = 15.0
_LOOK_S = 1.0
_LOG_EVERY_S = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Refuses connections above the bound, and cuts off those that hold one without using it.

    Otherwise a few hundred idle clients would take the descriptors that
    Streamer needs for Salesforce, Kafka and the targets.
    """

    def __init__(self, section: str) -> None:
        """Guard the listener of `section`, which log lines name."""
        self._section = section
        self._requests: dict[web.RequestHandler, web.Request] = {}
        self._silent_since: dict[web.RequestHandler, float] = {}
        self._handshakes: dict[_Handshake, float] = {}
        self._logged_at = -_LOG_EVERY_S

    def protect(
        self, server: web.Server, *, handshake_s: float | None = None
    ) -> Callable[[], asyncio.BaseProtocol]:
        """Return a protocol factory that admits a bounded number of connections to `server`.

        With TLS, a connection counts from the begin of its handshake, which
        takes at most `handshake_s`.
        """

        def accept() -> asyncio.BaseProtocol:
            now = asyncio.get_running_loop().time()
            for each in [each for each, end in self._handshakes.items() if end <= now]:
                del self._handshakes[each]
            if len(server.connections) + len(self._handshakes) < MOST_CONNECTIONS:
                if handshake_s is None:
                    return server()
                handshake = _Handshake(server(), self._handshakes.pop)
                self._handshakes[handshake] = now + handshake_s
                return handshake
            self._tell_of_flood()
            return _Refused()

        return accept

    @web.middleware
    async def watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note the request while it is handled."""
        protocol = request.protocol
        self._requests[protocol] = request
        self._silent_since.pop(protocol, None)
        try:
            return await handler(request)
        finally:
            del self._requests[protocol]

    @asynccontextmanager
    async def watching(self, server: web.Server) -> AsyncIterator[None]:
        """Cut silent connections of `server` off inside the context."""
        watching = asyncio.create_task(self._watch(server), name=f"guard {self._section}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, server: web.Server) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = asyncio.get_running_loop().time()
            silent = [each for each in server.connections if not self._is_handled(each)]
            self._silent_since = {each: self._silent_since.get(each, now) for each in silent}
            for connection, since in self._silent_since.items():
                if now - since >= _SILENT_S:
                    connection.force_close()

    def _is_handled(self, connection: web.RequestHandler) -> bool:
        """Return true while a handler has a whole request, and takes its time."""
        request = self._requests.get(connection)
        return request is not None and request.content.is_eof()

    def _tell_of_flood(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.warning("connections.refused", listener=self._section, most=MOST_CONNECTIONS)


class _Handshake(asyncio.Protocol):
    """Protocol of a connection over TLS until its handshake is over, of which it tells `done`.

    asyncio does not tell a protocol of a handshake that fails.
    """

    def __init__(self, handler: asyncio.Protocol, done: "Callable[[_Handshake, None], object]") -> None:
        self._handler = handler
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Leave the connection to the handler."""
        self._done(self, None)
        transport.set_protocol(self._handler)
        self._handler.connection_made(transport)


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection at once."""
        if isinstance(transport, asyncio.Transport):
            transport.abort()
