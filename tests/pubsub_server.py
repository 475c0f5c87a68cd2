"""A scripted Pub/Sub API server."""

import asyncio
import io
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastavro
import grpc
import orjson
from grpc import StatusCode

from streamer.eventbus import (
    ConsumerEvent,
    FetchRequest,
    FetchResponse,
    ProducerEvent,
    ReplayPreset,
    SchemaInfo,
    SchemaRequest,
)
from streamer.eventbus.calls import GET_SCHEMA, SERVICE, SUBSCRIBE

ORDERS = "/event/Order_Placed__e"
REFUNDS = "/event/Refund__e"
SCHEMA = "e8jMOnID4xDThlaPBMx5gg"
PREFIX = "sfdc.platform.eventbus.grpc."

_RECORD = {
    "type": "record",
    "name": "Order_Placed__e",
    "namespace": "com.sforce.eventbus",
    "fields": [
        {"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"},
        {"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"},
        {"name": "N__c", "type": ["null", "double"], "default": None, "doc": "Data:Double:00N000000000001"},
    ],
}
_COMPILED = fastavro.parse_schema(_RECORD)


def replay_id(number: int) -> bytes:
    """Return the position of the event `number`, in the form of today's servers: ten bytes."""
    return (1000 + 3 * number).to_bytes(8, "big") + b"\0\0"


def order(number: int, *, at: float, by: str = "005AB00000USER1YAA") -> ConsumerEvent:
    """Return the event `number`, committed at `at` in epoch seconds."""
    datum = io.BytesIO()
    values = {"CreatedDate": round(at * 1000), "CreatedById": by, "N__c": float(number)}
    fastavro.schemaless_writer(datum, _COMPILED, values)
    event = ProducerEvent(id=uuid(number), schema_id=SCHEMA, payload=datum.getvalue())
    return ConsumerEvent(event=event, replay_id=replay_id(number))


def uuid(number: int) -> str:
    """Return the EventUuid of the event `number`."""
    return f"6f0c1d2e-0000-4000-8000-{number:012d}"


@dataclass(frozen=True, kw_only=True)
class End:
    """The way in which the server ends a call."""

    status: StatusCode = StatusCode.OK
    code: str = ""
    details: str = "said by the test rpcId: 1"


@dataclass(kw_only=True)
class Stream:
    """One Subscribe call, as the server has it."""

    first: FetchRequest
    metadata: dict[str, Any]
    peer: str
    credit: int = 0
    most_credit: int = 0
    requests: list[FetchRequest] = field(default_factory=list)
    sent: int = 0
    next: int = 0
    keep_alives: deque[bytes] = field(default_factory=deque)
    end: End | None = None
    is_over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def grant(self, request: FetchRequest) -> None:
        """Take a request for more events."""
        self.requests.append(request)
        self.credit += request.num_requested
        self.most_credit = max(self.most_credit, self.credit)
        self.changed.set()


class PubSubServer:
    """Serves the events of its topics from any position, within the credit, and ends calls as told.

    `refusals` end the next Subscribe calls at once, `schema_ends` the next
    GetSchema calls; it serves none of the schemas in `schemas_away`. While
    `is_silent`, streams get nothing. The next answer after `torn` is set is not a
    valid message; the bytes in `forged` are sent instead of the next answers.
    """

    def __init__(self) -> None:
        """Have no events."""
        self.topics: dict[str, list[ConsumerEvent]] = defaultdict(list)
        self.schemas = {SCHEMA: orjson.dumps(_RECORD).decode()}
        self.schema_requests: list[str] = []
        self.streams: list[Stream] = []
        self.refusals: deque[End] = deque()
        self.schema_ends: deque[End] = deque()
        self.schemas_away: set[str] = set()
        self.refused_tokens: set[str] = set()
        self.most_events = 100
        self.is_silent = False
        self.torn = False
        self.forged: deque[bytes] = deque()
        self.port = 0

    async def start(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        """Listen on loopback, with TLS if there are `credentials`."""
        self._server = grpc.aio.server()
        methods = {
            SUBSCRIBE.name: grpc.stream_stream_rpc_method_handler(
                self._subscribe,
                request_deserializer=SUBSCRIBE.request.FromString,
                response_serializer=self._written,
            ),
            GET_SCHEMA.name: grpc.unary_unary_rpc_method_handler(
                self._get_schema,
                request_deserializer=GET_SCHEMA.request.FromString,
                response_serializer=GET_SCHEMA.response.SerializeToString,
            ),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        await self._server.start()

    async def stop(self) -> None:
        """End all calls, and listen no more."""
        await self._server.stop(grace=None)

    def publish(self, *events: ConsumerEvent, path: str = ORDERS) -> None:
        """Add events to a topic."""
        self.topics[path] += events
        self.wake()

    def wake(self) -> None:
        """Let every stream look again."""
        for stream in self.streams:
            stream.changed.set()

    def live(self, path: str = ORDERS) -> list[Stream]:
        """Return the streams of `path` that are open."""
        return [each for each in self.streams if each.first.topic_name == path and not each.is_over]

    def keep_alive(self, latest: bytes, path: str = ORDERS) -> None:
        """Send a keep-alive on the open stream of `path`."""
        [stream] = self.live(path)
        stream.keep_alives.append(latest)
        stream.changed.set()

    def end(self, end: End, path: str = ORDERS) -> None:
        """End the open stream of `path`."""
        [stream] = self.live(path)
        stream.end = end
        stream.changed.set()

    async def _subscribe(self, requests: AsyncIterator[FetchRequest], context: Any) -> None:
        first = await anext(aiter(requests))
        metadata = dict(context.invocation_metadata())
        stream = Stream(first=first, metadata=metadata, peer=context.peer())
        stream.next = self._start(first)
        self.streams.append(stream)
        stream.grant(first)
        if stream.metadata["accesstoken"] in self.refused_tokens:
            stream.end = End(status=StatusCode.UNAUTHENTICATED, code="service.auth.error")
        elif self.refusals:
            stream.end = self.refusals.popleft()
        granting = asyncio.create_task(_grant(requests, stream))
        try:
            while stream.end is None:
                await self._serve(stream, context)
        finally:
            stream.is_over = True
            granting.cancel()
        await _end(stream.end, context)

    async def _serve(self, stream: Stream, context: Any) -> None:
        stream.changed.clear()
        if not self.is_silent:
            topic = self.topics[stream.first.topic_name]
            count = min(stream.credit, self.most_events)
            if events := topic[stream.next : stream.next + count]:
                stream.next += len(events)
                stream.credit -= len(events)
                stream.sent += len(events)
                await context.write(
                    FetchResponse(
                        events=events,
                        latest_replay_id=events[-1].replay_id,
                        pending_num_requested=stream.credit,
                    )
                )
                return
            if stream.keep_alives:
                await context.write(
                    FetchResponse(
                        latest_replay_id=stream.keep_alives.popleft(), pending_num_requested=stream.credit
                    )
                )
                return
        await stream.changed.wait()

    def _written(self, response: FetchResponse) -> bytes:
        if self.forged:
            return self.forged.popleft()
        torn, self.torn = self.torn, False
        return b"\xff\xff no message" if torn else response.SerializeToString()

    def _start(self, first: FetchRequest) -> int:
        topic = self.topics[first.topic_name]
        if first.replay_preset == ReplayPreset.LATEST:
            return len(topic)
        ids = [event.replay_id for event in topic]
        # A keep-alive's id belongs to no event; it covers all events before it.
        return sum(each <= first.replay_id for each in ids)

    async def _get_schema(self, request: SchemaRequest, context: Any) -> SchemaInfo:
        self.schema_requests.append(request.schema_id)
        if request.schema_id in self.schemas_away:
            await _end(End(status=StatusCode.UNAVAILABLE), context)
        if self.schema_ends:
            await _end(self.schema_ends.popleft(), context)
        if request.schema_id not in self.schemas:
            await _end(End(status=StatusCode.NOT_FOUND, code="schema.not.found"), context)
        return SchemaInfo(schema_json=self.schemas[request.schema_id], schema_id=request.schema_id)


async def _grant(requests: AsyncIterator[FetchRequest], stream: Stream) -> None:
    async for request in requests:
        stream.grant(request)


async def _end(end: End, context: Any) -> None:
    trailers = (("error-code", PREFIX + end.code),) if end.code else ()
    if end.status is not StatusCode.OK:
        await context.abort(end.status, end.details, trailers)


@asynccontextmanager
async def serving(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[PubSubServer]:
    """Run a server inside the context."""
    server = PubSubServer()
    await server.start(credentials=credentials)
    try:
        yield server
    finally:
        await server.stop()
