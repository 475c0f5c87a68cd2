"""Plain client of the Pub/Sub API."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import fastavro
import grpc
import grpc.aio
import orjson

from streamer.eventbus import (
    ConsumerEvent,
    FetchRequest,
    FetchResponse,
    ProducerEvent,
    PublishRequest,
    PublishResponse,
    ReplayPreset,
    SchemaInfo,
    SchemaRequest,
    TopicInfo,
    TopicRequest,
)
from streamer.eventbus.calls import GET_SCHEMA, GET_TOPIC, PUBLISH, PUBLISH_STREAM, SUBSCRIBE
from tests.integration.sandbox.pubsub.decoding import decoded
from tests.waiting import LIMIT_S, awaited, limited

LATEST, EARLIEST, CUSTOM = ReplayPreset.LATEST, ReplayPreset.EARLIEST, ReplayPreset.CUSTOM
PREFIX = "sfdc.platform.eventbus.grpc."
EOF = grpc.aio.EOF  # type: ignore[attr-defined] # the stubs lack it

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The end of a call that failed: its status, its error code without the prefix, and its description."""

    status: grpc.StatusCode
    code: str | None
    description: str


@dataclass(slots=True, kw_only=True)
class Stream:
    """A stream that can be written to and read from."""

    call: Any

    async def send(self, request: Any) -> None:
        """Send a request; a stream that has ended takes none, and `end` tells why."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.call.write(request)

    async def receive(self) -> Any:
        """Return the next response; fails where none comes or the stream ends."""
        response = await awaited(self.call.read(), "a response")
        assert response is not EOF, f"the stream ended with {await self.call.code()}"
        return response

    async def end(self) -> Failure | None:
        """Return the error with which the stream ends, `None` for OK; responses before it are passed over."""
        try:
            async with limited("the end of the stream"):
                while await self.call.read() is not EOF:
                    pass
                status = await self.call.code()
        except grpc.aio.AioRpcError as error:
            return failure(error)
        if status is grpc.StatusCode.OK:
            return None
        codes = dict(await self.call.trailing_metadata())
        return Failure(
            status=status, code=_suffix(codes.get("error-code")), description=await self.call.details()
        )


class Subscription(Stream):
    """A Subscribe stream."""

    async def ask(self, count: int, **more: Any) -> None:
        """Ask for more events."""
        await self.send(FetchRequest(num_requested=count, **more))

    async def events(self, count: int, *, topped_up: bool = False) -> list[ConsumerEvent]:
        """Return exactly `count` events, from as many responses as they come in."""
        found: list[ConsumerEvent] = []
        while len(found) < count:
            response: FetchResponse = await self.receive()
            found += response.events
            if topped_up and len(response.events):
                await self.ask(len(response.events))
        assert len(found) == count
        return found


@dataclass(slots=True, kw_only=True)
class Client:
    """Speaks gRPC with a sandbox, with the credentials in `metadata`."""

    channel: grpc.aio.Channel
    metadata: Metadata
    schemas: dict[str, Any] = field(default_factory=dict)

    async def topic(self, path: str) -> TopicInfo:
        """Return what the server says of a topic."""
        return await self._unary(GET_TOPIC, TopicRequest(topic_name=path))

    async def schema(self, schema_id: str) -> SchemaInfo:
        """Return a schema."""
        return await self._unary(GET_SCHEMA, SchemaRequest(schema_id=schema_id))

    async def publish(self, path: str, *events: ProducerEvent) -> PublishResponse:
        """Publish events."""
        return await self._unary(PUBLISH, PublishRequest(topic_name=path, events=events))

    def publish_stream(self) -> Stream:
        """Open a publish stream."""
        return Stream(call=self._streamed(PUBLISH_STREAM))

    def open(self) -> Subscription:
        """Open a Subscribe stream on which nothing is asked yet."""
        return Subscription(call=self._streamed(SUBSCRIBE))

    async def subscribe(
        self, path: str, count: int = 100, preset: ReplayPreset = EARLIEST, replay_id: bytes = b""
    ) -> Subscription:
        """Open a stream and ask for events."""
        subscription = self.open()
        await subscription.ask(count, topic_name=path, replay_preset=preset, replay_id=replay_id)
        return subscription

    async def decoded(self, event: ConsumerEvent) -> dict[str, Any]:
        """Return the payload of an event, whose schema is fetched once."""
        return decoded(await self.parsed(event.event.schema_id), event.event.payload)

    async def parsed(self, schema_id: str) -> Any:
        """Return a schema as fastavro has it."""
        if schema_id not in self.schemas:
            info = await self.schema(schema_id)
            self.schemas[schema_id] = fastavro.parse_schema(orjson.loads(info.schema_json))
        return self.schemas[schema_id]

    async def encoded(self, schema_id: str, payload: dict[str, Any]) -> bytes:
        """Return the payload of an event to publish."""
        stream = BytesIO()
        fastavro.schemaless_writer(stream, await self.parsed(schema_id), payload)
        return stream.getvalue()

    async def _unary(self, call: Any, request: Any) -> Any:
        method = self.channel.unary_unary(
            call.path,
            request_serializer=call.request.SerializeToString,
            response_deserializer=call.response.FromString,
        )
        return await method(request, metadata=self.metadata, timeout=LIMIT_S)

    def _streamed(self, call: Any) -> Any:
        method: Any = self.channel.stream_stream(
            call.path,
            request_serializer=call.request.SerializeToString,
            response_deserializer=call.response.FromString,
        )
        return method(metadata=self.metadata)


def failure(error: grpc.aio.AioRpcError) -> Failure:
    """Return the failure that gRPC raised."""
    trailers: Any = error.trailing_metadata()
    codes = dict(trailers)
    return Failure(
        status=error.code(), code=_suffix(codes.get("error-code")), description=error.details() or ""
    )


def _suffix(code: Any) -> str | None:
    if code is None:
        return None
    text = str(code)
    assert text.startswith(PREFIX)
    return text.removeprefix(PREFIX)
