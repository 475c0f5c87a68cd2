"""TCP proxy on loopback that can stall connections, lose their bytes, or reset them."""

import asyncio
import enum
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

from tools.ports import free_ports

_CHUNK_BYTES = 65_536
_CONNECT_TIMEOUT_S = 5.0
_BACKLOG = 128
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Mode(enum.Enum):
    PASSING = enum.auto()
    STALLED = enum.auto()
    BLACK_HOLE = enum.auto()
    RESETTING = enum.auto()


class _Direction(enum.Enum):
    REQUESTS = enum.auto()
    ANSWERS = enum.auto()


@dataclass(slots=True, eq=False, kw_only=True)
class _Connection:
    client: socket.socket
    server: socket.socket
    # Directions that have lost bytes. Bytes after a gap are not passed on.
    broken: set[_Direction] = field(default_factory=set)
    orderly: bool = False

    def close(self) -> None:
        for end in (self.client, self.server):
            if not self.orderly:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            end.close()


class TcpProxy:
    """Relays connections to one target, and can stall them, lose their bytes or reset them.

    The proxy is an async context manager. Its methods act at once on all old and
    new connections. Only the thread of the event loop that entered the context may
    call them.
    """

    def __init__(self, target_port: int, *, port: int = 0, delay_s: float = 0.0) -> None:
        """Build a proxy at `port`, or at a free port that stays the same from now on.

        In both directions, every chunk of at most 64 KiB waits for `delay_s`
        seconds, which also limits the throughput.
        """
        self.port = port or free_ports(1)[0]
        self.delay_s = delay_s
        self._target = ("127.0.0.1", target_port)
        self._mode = _Mode.PASSING
        self._answers_only = False
        self._changed = asyncio.Event()
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Address of the proxy for clients, as `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Number of connected clients."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listener), name=f"proxy-{self.port}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Reset all connections and release the port; raises the proxy's own error, if any."""
        tasks = [task for task in (self._accepting, *self._connections.values()) if task]
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def mend(self) -> None:
        """Pass bytes again. Connections that lost bytes are reset; all other connections continue."""
        self._change(_Mode.PASSING)
        self._reset([connection for connection in self._connections if connection.broken])

    def stall(self, *, answers_only: bool = False) -> None:
        """Hold back all bytes until `mend`, which delivers them.

        Connections stay open, and new connections are accepted. TCP blocks a client
        that sends much meanwhile. With `answers_only`, requests pass.
        """
        self._change(_Mode.STALLED, answers_only=answers_only)

    def black_hole(self, *, answers_only: bool = False) -> None:
        """Discard every byte, and the end of a connection, while all connections stay open.

        With `answers_only`, the target receives and carries out requests, but
        clients get no answer.
        """
        self._change(_Mode.BLACK_HOLE, answers_only=answers_only)

    def reset(self) -> None:
        """Reset every connection, and each new connection at once, until `mend`."""
        self._change(_Mode.RESETTING)
        self._reset(list(self._connections))

    def _change(self, mode: _Mode, *, answers_only: bool = False) -> None:
        self._mode, self._answers_only = mode, answers_only
        self._changed.set()
        self._changed = asyncio.Event()

    def _reset(self, connections: list[_Connection]) -> None:
        for connection in connections:
            self._connections[connection].cancel()

    def _mode_of(self, direction: _Direction) -> _Mode:
        return _Mode.PASSING if self._answers_only and direction is _Direction.REQUESTS else self._mode

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            connection = _Connection(client=client, server=socket.socket())
            if self._mode is _Mode.RESETTING:
                connection.close()
            else:
                self._begin(connection)

    def _begin(self, connection: _Connection) -> None:
        def end(_: asyncio.Task[None]) -> None:
            del self._connections[connection]
            connection.close()

        task = asyncio.create_task(self._relay(connection), name=f"proxy-{self.port}-connection")
        # A task that is cancelled before its first step does not run its `finally`.
        task.add_done_callback(end)
        self._connections[connection] = task

    async def _relay(self, connection: _Connection) -> None:
        try:
            await self._connect(connection)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(connection, _Direction.REQUESTS))
                both.create_task(self._copy(connection, _Direction.ANSWERS))
            connection.orderly = True
        except* OSError:
            # One end has failed, so the other end is reset too.
            connection.orderly = False

    async def _connect(self, connection: _Connection) -> None:
        if self._mode_of(_Direction.REQUESTS) is _Mode.BLACK_HOLE:
            connection.broken.add(_Direction.REQUESTS)
        while self._mode_of(_Direction.REQUESTS) is not _Mode.PASSING:
            await self._changed.wait()
        for end in (connection.client, connection.server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(connection.server, self._target)

    async def _copy(self, connection: _Connection, direction: _Direction) -> None:
        ends = (connection.client, connection.server)
        source, sink = ends if direction is _Direction.REQUESTS else reversed(ends)
        while True:
            received = await _receive(source)
            await self._wait_until_passing(direction)
            if self._mode_of(direction) is _Mode.BLACK_HOLE or direction in connection.broken:
                connection.broken.add(direction)
            elif isinstance(received, OSError):
                raise received
            elif received:
                await asyncio.get_running_loop().sock_sendall(sink, received)
            else:
                sink.shutdown(socket.SHUT_WR)
            if not isinstance(received, bytes) or not received:
                return

    async def _wait_until_passing(self, direction: _Direction) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        while self._mode_of(direction) is _Mode.STALLED:
            await self._changed.wait()


async def _receive(source: socket.socket) -> bytes | OSError:
    """Return the received bytes (empty at the end), or the connection's error, which can be lost too."""
    try:
        return await asyncio.get_running_loop().sock_recv(source, _CHUNK_BYTES)
    except OSError as broke:
        return broke
