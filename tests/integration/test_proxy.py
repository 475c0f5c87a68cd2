"""The proxy's line, as clients and servers see it stall, lose or reset."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

import pytest

from tests.waiting import awaited, until
from tools.ports import free_ports
from tools.proxy import TcpProxy

_DEADLINE_S = 5.0
_SILENCE_S = 0.1


@dataclass(slots=True)
class Line:
    """A server that echoes its input, and the proxy in front of it."""

    port: int
    proxy: TcpProxy = field(init=False)
    arrived: bytearray = field(default_factory=bytearray)
    accepted: int = 0

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back what comes, and end when it ends."""
        self.accepted += 1
        with suppress(ConnectionError), closing(writer):
            while piece := await reader.read(65_536):
                self.arrived += piece
                writer.write(piece)
                await writer.drain()

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        """Connect through the proxy."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Client:
    """One connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, words: bytes) -> None:
        """Send without waiting for the answer."""
        self.writer.write(words)

    async def hears(self, words: bytes) -> bool:
        """Return whether exactly `words` are received next."""
        return await awaited(self.reader.readexactly(len(words))) == words

    async def asks(self, words: bytes) -> bool:
        """Send `words`, and return whether they come back."""
        self.send(words)
        return await self.hears(words)

    async def hears_nothing(self) -> bool:
        """Return whether the line is open and silent for a moment."""
        try:
            await asyncio.wait_for(self.reader.read(1), _SILENCE_S)
        except TimeoutError:
            return True
        return False

    async def is_reset(self) -> bool:
        """Return whether the connection is reset, which is more than closed."""
        try:
            await awaited(self.reader.read(1))
        except ConnectionResetError:
            return True
        return False


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A line in good order."""
    line = Line(free_ports(1)[0])
    server = await asyncio.start_server(line.echo, "127.0.0.1", line.port)
    async with server, TcpProxy(line.port) as line.proxy:
        yield line


async def test_large_answer_arrives_whole_after_the_request_has_ended(line: Line) -> None:
    """A client that has ended its requests still gets the whole answer, and then the end."""
    words = bytes(range(256)) * 20_000
    async with line.client() as client:
        client.send(words)
        client.writer.write_eof()
        assert await client.hears(words)
        assert await client.reader.read() == b""

    await until(lambda: line.proxy.connections == 0)


async def test_stalled_line_delivers_everything_once_mended(line: Line) -> None:
    """Nothing passes meanwhile, also for new clients, and nothing is lost."""
    async with line.client() as client, line.client() as silent:
        assert await client.asks(b"before")
        assert await silent.asks(b"before")
        line.proxy.stall()
        client.send(b"meanwhile")
        async with line.client() as newcomer:
            newcomer.send(b"new")
            assert await client.hears_nothing()
            assert line.arrived == b"beforebefore"
            assert line.accepted == 2
            line.proxy.mend()
            assert await newcomer.hears(b"new")
        assert await client.hears(b"meanwhile")
        assert await silent.asks(b"after")


async def test_stalled_line_holds_up_who_sends_much(line: Line) -> None:
    """The bytes stay with the sender: memory does not grow."""
    async with line.client() as client:
        line.proxy.stall()
        client.send(b"x" * 20_000_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), _SILENCE_S)
        line.proxy.mend()
        while len(line.arrived) < 20_000_000:
            await awaited(client.reader.read(1_000_000))


async def test_black_hole_swallows_bytes_and_resets_once_mended(line: Line) -> None:
    """Lost bytes break their connection, and a connection that lost none goes on."""
    async with line.client() as client, line.client() as silent:
        assert await client.asks(b"before")
        assert await silent.asks(b"before")
        line.proxy.black_hole()
        client.send(b"lost")
        async with line.client() as newcomer:
            newcomer.send(b"lost")
            assert await client.hears_nothing()
            line.proxy.mend()
            assert await newcomer.is_reset()
        assert await client.is_reset()
        assert await silent.asks(b"after")

    assert line.arrived == b"beforebeforeafter"


async def test_black_hole_swallows_the_end_of_a_connection(line: Line) -> None:
    """The server does not learn that its client has died."""
    async with line.client() as client:
        assert await client.asks(b"before")
        line.proxy.black_hole()
    await asyncio.sleep(_SILENCE_S)

    assert line.proxy.connections == 1
    line.proxy.mend()
    await until(lambda: line.proxy.connections == 0)


async def test_answers_alone_may_be_lost(line: Line) -> None:
    """The server acts on requests of old and new connections, and no client learns of it."""
    async with line.client() as client:
        assert await client.asks(b"before")
        line.proxy.black_hole(answers_only=True)
        client.send(b"done")
        async with line.client() as newcomer:
            newcomer.send(b"done")
            await until(lambda: line.arrived == b"beforedonedone")
            assert await client.hears_nothing()
            line.proxy.mend()
            assert await newcomer.is_reset()
        assert await client.is_reset()


async def test_answers_alone_may_stall(line: Line) -> None:
    """The server acts on the request, and the answer comes late."""
    async with line.client() as client:
        line.proxy.stall(answers_only=True)
        client.send(b"done")
        await until(lambda: line.arrived == b"done")
        assert await client.hears_nothing()
        line.proxy.mend()
        assert await client.hears(b"done")


@pytest.mark.parametrize("before", [TcpProxy.mend, TcpProxy.stall, TcpProxy.black_hole])
async def test_reset_ends_every_connection_until_mended(
    line: Line, before: Callable[[TcpProxy], None]
) -> None:
    """Old and new connections break at once, and new ones work afterwards."""
    async with line.client() as client:
        before(line.proxy)
        line.proxy.reset()
        assert await client.is_reset()
    assert await _connects_in_vain(line)
    line.proxy.mend()

    async with line.client() as client:
        assert await client.asks(b"after")


async def _connects_in_vain(line: Line) -> bool:
    try:
        async with line.client() as client:
            return await client.is_reset()
    except ConnectionResetError:
        return True


async def test_server_learns_that_its_client_was_reset(line: Line) -> None:
    """A broken end breaks the other: no half of a connection remains."""
    async with line.client() as client:
        assert await client.asks(b"before")
        ends_by_reset = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ends_by_reset)

    await until(lambda: line.proxy.connections == 0)


async def test_client_is_reset_where_no_server_listens() -> None:
    """A proxy without a target is as good as no proxy."""
    line = Line(free_ports(1)[0])
    async with TcpProxy(line.port) as line.proxy:
        assert await _connects_in_vain(line)


async def test_delay_holds_each_way(line: Line) -> None:
    """A request and its answer take twice the delay."""
    line.proxy.delay_s = 0.05
    loop = asyncio.get_running_loop()
    async with line.client() as client:
        began = loop.time()
        assert await client.asks(b"slow")
        assert loop.time() - began >= 0.1


@pytest.mark.parametrize("fault", [TcpProxy.mend, TcpProxy.stall, TcpProxy.black_hole, TcpProxy.reset])
async def test_proxy_leaves_nothing_behind(line: Line, fault: Callable[[TcpProxy], None]) -> None:
    """In every mode its tasks end and its port is free at once."""
    async with AsyncExitStack() as clients:
        async with TcpProxy(line.port) as line.proxy:
            old = await clients.enter_async_context(line.client())
            assert await old.asks(b"before")
            fault(line.proxy)
            old.send(b"meanwhile")
            await clients.enter_async_context(line.client())
            assert _tasks_of(line.proxy)

        assert not _tasks_of(line.proxy)
        async with line.proxy:
            assert line.proxy.connections == 0


def _tasks_of(proxy: TcpProxy) -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith(f"proxy-{proxy.port}")]
