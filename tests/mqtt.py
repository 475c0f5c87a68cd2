"""Consumer of messages by a library that is not ours, and a broker with TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_EVERYTHING = "#"


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
        async with asyncio.timeout(60):
            while not holds(self):  # noqa: ASYNC110 - the library hands over messages in another task
                await asyncio.sleep(0.01)


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
