"""Consumer of messages with another project's library, and a connection to a broker that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.waiting import until

_EVERYTHING = "#"
_CONNACK = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Message as a consumer sees it."""

    topic: str
    payload: bytes
    qos: int
    is_retained: bool
    content_type: str | None = None
    expiry_s: int | None = None
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Consumer:
    """Messages that have come so far, in their order."""

    received: list[Received] = field(default_factory=list)

    async def until(self, holds: Callable[["Consumer"], object]) -> None:
        """Wait until `holds` is true of this consumer."""
        await until(lambda: holds(self))


@asynccontextmanager
async def consuming(port: int, *, client_id: str | None = None, **more: Any) -> AsyncIterator[Consumer]:
    """Read all topics of a broker on this machine, with QoS 2.

    With a `client_id`, the session is kept, so that the next consumer of that
    id gets what it has missed.
    """
    consumer = Consumer()
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600 if client_id else 0
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=client_id is None,
        properties=properties,
        **more,
    ) as client:
        await client.subscribe(_EVERYTHING, qos=2)
        reading = asyncio.create_task(_read(client, consumer), name="consumer")
        try:
            yield consumer
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(client: aiomqtt.Client, consumer: Consumer) -> None:
    async for message in client.messages:
        properties = message.properties
        consumer.received.append(
            Received(
                topic=message.topic.value,
                payload=bytes(message.payload or b""),
                qos=message.qos,
                is_retained=message.retain,
                content_type=getattr(properties, "ContentType", None),
                expiry_s=getattr(properties, "MessageExpiryInterval", None),
                attributes=dict(getattr(properties, "UserProperty", [])),
            )
        )


@dataclass(slots=True)
class Wire:
    """Way to a broker that can lose the broker's answers, break, and be down.

    `known` tells for each connection whether the broker had a session of the
    client (session present, MQTT 5 section 3.2.2.1.1).
    """

    port: int = 0
    is_lossy: bool = False
    is_down: bool = False
    lost: int = 0
    refused: int = 0
    known: list[bool] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator["Wire"]:
        """Lead from a port of its own to `port`."""
        wire = cls()

        async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if wire.is_down:
                wire.refused += 1
                writer.transport.abort()
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            wire._writers += writer, inner_writer
            await asyncio.gather(
                wire._carry(reader, inner_writer), wire._carry(inner_reader, writer, answers=True)
            )

        server = await asyncio.start_server(lead, "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            yield wire
        finally:
            server.close()
            wire.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """End all connections without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with suppress(OSError):
            while content := await reader.read(65_536):
                if answers and content[0] == _CONNACK:
                    self.known.append(bool(content[2] & 1))
                if answers and self.is_lossy:
                    self.lost += 1
                else:
                    writer.write(content)
            writer.close()
