"""Bounds on a listener's connections and requests."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

import structlog
from aiohttp import hdrs, web

from streamer.web.addresses import is_loopback

_log = structlog.get_logger()

MOST_CONNECTIONS = 64
"""Largest number of idle connections, and largest number of requests in addition to the reserve."""

# Reserve for clients on this machine, and for a peer's first request.
_RESERVE = 8
_SILENT_S = 15.0
_LOOK_S = 1.0
_LOG_EVERY_S = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, eq=False, kw_only=True)
class _Connection:
    """Connection of `peer`, before or after its TLS handshake.

    `idle_since` is the latest of three times: the beginning of the connection, the
    beginning of its last request, and the end of its last answer.
    """

    handler: asyncio.Protocol
    peer: str
    transport: asyncio.Transport
    idle_since: float
    request: web.Request | None = None
    was_heard: bool = False

    @property
    def is_handled(self) -> bool:
        """True while a handler works on a completely received request."""
        return self.request is not None and self.request.content.is_eof()

    @property
    def was_answered(self) -> bool:
        """True while the connection is idle after a sent answer."""
        return self.was_heard and self.request is None and not self._unsent

    @property
    def has_ended(self) -> bool:
        """True once the connection is closed and its handler has ended. A handler can outlast the client."""
        return self.transport.is_closing() and self.request is None and not self._unsent

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()


class Guard:
    """Bounds connections and requests, in total and per peer, and closes unused connections.

    Without bounds, a few hundred idle clients would take the file descriptors that
    Streamer needs for Salesforce, Kafka and the targets.

    A new connection is always admitted. At the bound, the guard closes another
    connection that waits for a request. The closed connection belongs to the same peer,
    or to the peer with the most connections. Connections whose last request was
    answered are closed first, because a new connection's request can be on its way. So
    a client that sends a request at once gets an answer, even if other clients at the
    same address keep opening connections. Requests have a separate bound. At this
    bound, the guard closes a request whose body is still arriving; if there is no such
    request, the guard refuses the new request. Requests for `probes`, whose handlers
    never wait, are always answered.
    """

    def __init__(self, section: str, probes: Iterable[str] = ()) -> None:
        """Guard a listener.

        Log lines name its `section` of the configuration; `probes` are paths of
        routes.
        """
        self._section = section
        self._probes = frozenset(probes)
        self._connections: dict[asyncio.Protocol, _Connection] = {}
        self._logged_at: dict[str, float] = {}
        self._agreeing: set[asyncio.Task[None]] = set()

    def protect(
        self,
        handler: Callable[[], asyncio.Protocol],
        *,
        context: ssl.SSLContext | None = None,
        handshake_s: float | None = None,
    ) -> Callable[[], asyncio.BaseProtocol]:
        """Return a protocol factory that admits a bounded number of connections, each with a new `handler`.

        With a TLS `context`, a connection counts from the beginning of its
        handshake, which may take `handshake_s` seconds.
        """

        def accept() -> asyncio.BaseProtocol:
            return _Arriving(self, handler(), context, handshake_s)

        return accept

    def admit(self, handler: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Admit a new connection. At the bound, close another connection that waits for a request."""
        # asyncio reports the end of a connection only to the handler.
        self._drop_ended()
        peer = _peer(transport)
        waiting = [each for each in self._connections.values() if each.request is None]
        if crowd := _crowd(waiting, peer):
            self._evict(crowd)
        now = asyncio.get_running_loop().time()
        self._connections[handler] = _Connection(
            handler=handler, peer=peer, transport=transport, idle_since=now
        )

    def forget(self, handler: asyncio.Protocol) -> None:
        """Remove an ended connection."""
        self._connections.pop(handler, None)

    def agree(self, handshake: Awaitable[None]) -> None:
        """Run a TLS handshake in a task."""
        task = asyncio.ensure_future(handshake)
        self._agreeing.add(task)
        task.add_done_callback(self._agreeing.discard)

    @web.middleware
    async def watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Track the request during its handling."""
        connection = self._connections.get(request.protocol)
        if connection is None:
            return await handler(request)
        if not (self._is_probe(request) or self._has_room(connection.peer)):
            self._tell("requests.refused")
            raise _busy()
        loop = asyncio.get_running_loop()
        connection.request, connection.idle_since, connection.was_heard = request, loop.time(), True
        try:
            return await handler(request)
        finally:
            connection.request, connection.idle_since = None, loop.time()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Close silent connections inside the context, and all remaining connections afterwards."""
        watching = asyncio.create_task(self._watch(), name=f"guard {self._section}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching, *self._agreeing], timeout=_LOOK_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._drop_ended()
            silent_since = asyncio.get_running_loop().time() - _SILENT_S
            for connection in [*self._connections.values()]:
                if connection.idle_since <= silent_since and not connection.is_handled:
                    self._cut(connection)

    def _is_probe(self, request: web.Request) -> bool:
        resource = request.match_info.route.resource
        return request.method == hdrs.METH_GET and resource is not None and resource.canonical in self._probes

    def _has_room(self, peer: str) -> bool:
        """Return true if there is room for a request of `peer`; if necessary, close another request."""
        self._drop_ended()
        requests = [each for each in self._connections.values() if each.request is not None]
        crowd = _crowd(requests, peer)
        if not crowd:
            return True
        if arriving := [each for each in crowd if not each.is_handled]:
            self._evict(arriving)
            return True
        own = sum(each.peer == peer for each in requests)
        is_of_reserve = not own or (is_loopback(peer) and own < _most_of_peer())
        return is_of_reserve and len(requests) < MOST_CONNECTIONS + _RESERVE

    def _evict(self, crowd: Iterable[_Connection]) -> None:
        """Close the longest idle connection of the largest peer, preferably an answered connection."""
        self._tell("connections.evicted")
        of_peer = Counter(each.peer for each in crowd)
        self._cut(min(crowd, key=lambda each: (-of_peer[each.peer], not each.was_answered, each.idle_since)))

    def _cut(self, connection: _Connection) -> None:
        self.forget(connection.handler)
        connection.transport.abort()

    def _drop_ended(self) -> None:
        """Forget connections that have ended."""
        for connection in [each for each in self._connections.values() if each.has_ended]:
            self.forget(connection.handler)

    def _tell(self, event: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at.get(event, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._logged_at[event] = now
            _log.warning(event, listener=self._section, most=MOST_CONNECTIONS)


class _Arriving(asyncio.Protocol):
    """Protocol of a connection before its admission and during its TLS handshake."""

    def __init__(
        self,
        guard: Guard,
        handler: asyncio.Protocol,
        context: ssl.SSLContext | None,
        handshake_s: float | None,
    ) -> None:
        self._guard = guard
        self._handler = handler
        self._context = context
        self._handshake_s = handshake_s
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection to the handler, or close it at once."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - that of a stream
        self._guard.admit(self._handler, transport)
        if self._context is None:
            transport.set_protocol(self._handler)
            self._handler.connection_made(transport)
        else:
            # Bytes that arrive before the handshake begins would be lost.
            transport.pause_reading()
            self._guard.agree(self._secured(transport, self._context))

    def data_received(self, data: bytes) -> None:
        """Keep bytes that arrive with the end of the handshake, before the handler gets the connection."""
        self._early.append(data)

    async def _secured(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=self._handshake_s
            )
        except OSError:
            # The client does not speak TLS, is not trusted, is too slow, or has disconnected.
            secured = None
        if secured is None or secured.is_closing():
            transport.abort()
            self._guard.forget(self._handler)
            return
        secured.set_protocol(self._handler)
        self._handler.connection_made(secured)
        for data in self._early:
            self._handler.data_received(data)


def _crowd(connections: list[_Connection], peer: str) -> list[_Connection]:
    """Return the entries that can be closed for a new entry of `peer`; return no entries if there is room."""
    own = [each for each in connections if each.peer == peer]
    if len(own) >= _most_of_peer():
        return own
    return connections if len(connections) >= MOST_CONNECTIONS else []


def _busy() -> web.HTTPServiceUnavailable:
    refused = web.HTTPServiceUnavailable(
        text="Streamer is already answering too many requests: send the request again in a second.",
        headers={hdrs.RETRY_AFTER: "1"},
    )
    refused.force_close()
    return refused


def _most_of_peer() -> int:
    """Return the most connections or requests of one peer. Behind a proxy, all clients are one peer."""
    return max(1, MOST_CONNECTIONS * 3 // 4)


def _peer(transport: asyncio.Transport) -> str:
    """Return a client's IPv4 address or IPv6 network, because one machine can use many IPv6 addresses."""
    name = transport.get_extra_info("peername")
    address = str(name[0]) if isinstance(name, tuple) and name else ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address) or parsed.is_loopback:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False).network_address)
