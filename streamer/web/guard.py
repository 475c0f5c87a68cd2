"""Bounds on the connections of a listener."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

import structlog
from aiohttp import web

from streamer.web.addresses import is_loopback

_log = structlog.get_logger()

MOST_CONNECTIONS = 64
"""Largest number of clients that are connected at a time, beside the reserve."""

# For clients of this machine, and for a peer's first connection: the probe that asks whether we are well.
_RESERVE = 8
_SILENT_S = 15.0
_LOOK_S = 1.0
_LOG_EVERY_S = 60.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, eq=False, kw_only=True)
class _Connection:
    """Connection of `peer`; its handshake can be still to come.

    It is idle since it was made, since its last request began to arrive, or
    since that was answered.
    """

    peer: str
    transport: asyncio.Transport
    idle_since: float
    request: web.Request | None = None

    @property
    def is_handled(self) -> bool:
        """True while a handler has a whole request, and takes its time."""
        return self.request is not None and self.request.content.is_eof()


class Guard:
    """Bounds the connections, and those of each peer, and cuts off those that nobody uses.

    Otherwise a few hundred idle clients would take the descriptors that
    Streamer needs for Salesforce, Kafka and the targets. When there is no room,
    the connection that has been idle for longest makes room for the new one: of
    the same peer, or of the peer with the most. A new one is refused only while
    all others are at work.
    """

    def __init__(self, section: str) -> None:
        """Guard the listener of `section`, which log lines name."""
        self._section = section
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
        """Return a protocol factory that admits a bounded number of connections, each to a new `handler`.

        With a `context`, a connection counts from the begin of its TLS handshake,
        which takes at most `handshake_s`.
        """

        def accept() -> asyncio.BaseProtocol:
            return _Arriving(self, handler(), context, handshake_s)

        return accept

    def admit(self, handler: asyncio.Protocol, transport: asyncio.Transport) -> bool:
        """Return whether there is room for a new connection, or can be made."""
        peer = _peer(transport)
        if not (self._has_room(peer) or self._make_room(peer)):
            self._tell("connections.refused")
            return False
        now = asyncio.get_running_loop().time()
        self._connections[handler] = _Connection(peer=peer, transport=transport, idle_since=now)
        return True

    def forget(self, handler: asyncio.Protocol) -> None:
        """Note that a connection has ended."""
        self._connections.pop(handler, None)

    def agree(self, handshake: Awaitable[None]) -> None:
        """Run a TLS handshake in a task."""
        task = asyncio.ensure_future(handshake)
        self._agreeing.add(task)
        task.add_done_callback(self._agreeing.discard)

    @web.middleware
    async def watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note the request while it is handled."""
        connection = self._connections.get(request.protocol)
        if connection is None:
            return await handler(request)
        loop = asyncio.get_running_loop()
        connection.request, connection.idle_since = request, loop.time()
        try:
            return await handler(request)
        finally:
            connection.request, connection.idle_since = None, loop.time()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Cut silent connections off inside the context, and all that are left afterwards."""
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
            for handler, connection in [*self._connections.items()]:
                if connection.idle_since <= silent_since and not connection.is_handled:
                    self._cut(handler)

    def _has_room(self, peer: str) -> bool:
        # asyncio tells nobody but the handler of the end of a connection.
        self._drop_ended()
        return len(self._connections) < MOST_CONNECTIONS and self._number_of(peer) < _most_of_peer()

    def _make_room(self, peer: str) -> bool:
        """Cut off the connection that has been idle for longest; return false while there is none."""
        if self._number_of(peer) >= _most_of_peer():
            return self._cut_longest_idle(self._idle([peer]))
        if self._cut_longest_idle(self._idle(self._largest_peers())):
            return True
        is_of_reserve = is_loopback(peer) or not self._number_of(peer)
        return is_of_reserve and len(self._connections) < MOST_CONNECTIONS + _RESERVE

    def _idle(self, peers: Iterable[str]) -> list[asyncio.Protocol]:
        """Return the idle connections of the first of `peers` that has any."""
        for peer in peers:
            if found := [
                handler
                for handler, each in self._connections.items()
                if each.peer == peer and not each.is_handled
            ]:
                return found
        return []

    def _largest_peers(self) -> list[str]:
        return [peer for peer, _ in Counter(each.peer for each in self._connections.values()).most_common()]

    def _cut_longest_idle(self, idle: list[asyncio.Protocol]) -> bool:
        if not idle:
            return False
        self._tell("connections.evicted")
        self._cut(min(idle, key=lambda each: self._connections[each].idle_since))
        return True

    def _cut(self, handler: asyncio.Protocol) -> None:
        connection = self._connections.pop(handler)
        connection.transport.abort()

    def _drop_ended(self) -> None:
        """Forget connections that have ended."""
        for handler in [each for each, found in self._connections.items() if found.transport.is_closing()]:
            self.forget(handler)

    def _number_of(self, peer: str) -> int:
        return sum(each.peer == peer for each in self._connections.values())

    def _tell(self, event: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged_at.get(event, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._logged_at[event] = now
            _log.warning(event, listener=self._section, most=MOST_CONNECTIONS)


class _Arriving(asyncio.Protocol):
    """Protocol of a connection until it is admitted and its TLS handshake, if any, is over."""

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
        """Leave the connection to the handler, or close it at once."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - that of a stream
        if not self._guard.admit(self._handler, transport):
            transport.abort()
        elif self._context is None:
            transport.set_protocol(self._handler)
            self._handler.connection_made(transport)
        else:
            # Bytes that come before the handshake begins would be lost.
            transport.pause_reading()
            self._guard.agree(self._secured(transport, self._context))

    def data_received(self, data: bytes) -> None:
        """Keep what comes with the end of the handshake, before the handler is there."""
        self._early.append(data)

    async def _secured(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=self._handshake_s
            )
        except OSError:
            # A client that speaks no TLS, is not trusted, is too slow, or has left.
            secured = None
        if secured is None or secured.is_closing():
            transport.abort()
            self._guard.forget(self._handler)
            return
        secured.set_protocol(self._handler)
        self._handler.connection_made(secured)
        for data in self._early:
            self._handler.data_received(data)


def _most_of_peer() -> int:
    """Return how many of the connections one peer can have: behind a proxy, all clients are one peer."""
    return max(1, MOST_CONNECTIONS * 3 // 4)


def _peer(transport: asyncio.Transport) -> str:
    """Return the address of a client; of IPv6 its network, in which one machine has any number of them."""
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
