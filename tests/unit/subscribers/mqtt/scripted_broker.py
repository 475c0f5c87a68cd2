"""Broker whose answers a test gives as bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.waiting import until

CONNACK = bytes.fromhex("2003000000")
CONNACK_311 = bytes.fromhex("20020000")
CONNECT, PUBLISH, PUBREL, PINGREQ, DISCONNECT = 1, 3, 6, 12, 14

Answer = Callable[[int, bytes], bytes | None]
"""Returns the answer to a packet of that kind; `None` closes the connection."""


def puback(content: bytes, *, code: str = "", kind: str = "40") -> bytes:
    """Return the acknowledgement of a PUBLISH with that content."""
    body = packet_id(content) + bytes.fromhex(code)
    return bytes.fromhex(kind) + bytes([len(body)]) + body


def packet_id(content: bytes) -> bytes:
    """Return the packet id of a PUBLISH with that content."""
    after = 2 + int.from_bytes(content[:2])
    return content[after : after + 2]


def usual(kind: int, content: bytes) -> bytes:
    """Answer as a broker does that takes everything."""
    match kind:
        case 1:
            return CONNACK if content[6] == 5 else CONNACK_311
        case 3:
            return puback(content)
        case 6:
            return b"\x70\x02" + content[:2]
        case 12:
            return b"\xd0\x00"
    return b""


@dataclass
class ScriptedBroker:
    """Server on loopback; `received` holds the kind and the content of every packet."""

    answer: Answer = usual
    received: list[tuple[int, bytes]] = field(default_factory=list)
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def running(cls, answer: Answer = usual) -> AsyncIterator["ScriptedBroker"]:
        """Run a broker that gives `answer` to each packet."""
        broker = cls(answer=answer)
        server = await asyncio.start_server(broker._serve, "127.0.0.1", 0)
        broker.port = server.sockets[0].getsockname()[1]
        try:
            yield broker
        finally:
            server.close()
            for writer in list(broker._open):
                writer.transport.abort()
            await server.wait_closed()

    @property
    def url(self) -> str:
        """Address of the broker."""
        return f"mqtt://localhost:{self.port}"

    def of_kind(self, kind: int) -> Sequence[bytes]:
        """Return the contents of the packets of one kind."""
        return [content for each, content in self.received if each == kind]

    async def until(self, kind: int, count: int = 1) -> None:
        """Wait until `count` packets of that kind have come."""
        await until(lambda: len(self.of_kind(kind)) >= count)

    def say(self, content: bytes) -> None:
        """Send something on every connection."""
        for writer in self._open:
            writer.write(content)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, EOFError):
            while True:
                kind, content = await _packet(reader)
                self.received.append((kind, content))
                answer = self.answer(kind, content)
                if answer is None:
                    break
                writer.write(answer)
        self._open.discard(writer)
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first >> 4, await reader.readexactly(length)
