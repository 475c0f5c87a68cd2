"""Connection to a gRPC server that can lead to another server for one connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.acceptance.fuzz.frames import FrameConnection

_READ_BYTES = 256 * 1024
_GONE = (OSError, asyncio.IncompleteReadError)

Play = Callable[[FrameConnection], Awaitable[None]]
"""Answers the calls of one connection."""


class Gate:
    """Forwards connections to a port, but each of `plays` gets one for itself.

    `played` counts the connections that have ended so, by the play or by the client.
    """

    def __init__(self, port: int) -> None:
        """Forward to `port` of this machine."""
        self.port = 0
        self.played = 0
        self._to = port
        self._plays: deque[Play] = deque()
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, port: int) -> AsyncIterator["Gate"]:
        """Listen inside the context."""
        gate = cls(port)
        server = await asyncio.start_server(gate._accept, "127.0.0.1", 0)
        gate.port = server.sockets[0].getsockname()[1]
        try:
            yield gate
        finally:
            server.close()
            gate._part()

    def play(self, play: Play) -> None:
        """Give the next connection to `play`, and end those that are open."""
        self._plays.append(play)
        self._part()

    def _part(self) -> None:
        for each in self._open:
            each.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._plays:
                await self._act(self._plays.popleft(), FrameConnection(reader=reader, writer=writer))
            else:
                await self._forward(reader, writer)
        finally:
            writer.transport.abort()

    async def _act(self, play: Play, connection: FrameConnection) -> None:
        reading = asyncio.create_task(connection.read(), name="frames")
        playing = asyncio.ensure_future(play(connection))
        try:
            await asyncio.wait([reading, playing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, playing):
                task.cancel()
                with suppress(*_GONE, asyncio.CancelledError):
                    await task
            self.played += 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(*_GONE):
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._open |= {writer, back}
            ways = [asyncio.create_task(_copy(*way), name="way") for way in ((reader, back), (there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                back.transport.abort()
                self._open -= {writer, back}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(*_GONE):
        while content := await reader.read(_READ_BYTES):
            writer.write(content)
            await writer.drain()
