"""gRPC server of the Pub/Sub API."""

import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from streamer.eventbus.calls import GET_SCHEMA, GET_TOPIC, PUBLISH, PUBLISH_STREAM, SERVICE, SUBSCRIBE
from streamer.eventbus.calls import Call as Method
from streamer.sandbox.certificates import Certificates
from streamer.sandbox.faults import armed as kinds
from streamer.sandbox.pubsub.calls import AdmittedCall
from streamer.sandbox.pubsub.context import PubSubContext
from streamer.sandbox.pubsub.errors import CallAborted
from streamer.sandbox.pubsub.service import PubSubService

# Salesforce's own limit (Pub/Sub API guide, allocations). A client's library delays streams above the limit.
_STREAMS_OF_A_CONNECTION = 1_000

_Answer = Callable[[Any, AdmittedCall], Any]
_Stream = Callable[[Any, str], Awaitable[None]]


class PubSubServer:
    """Serves the org's channels as Salesforce's Pub/Sub API does, in the running event loop."""

    def __init__(self, context: PubSubContext) -> None:
        self._service = PubSubService(context)
        self._limits = context.limits
        self._server: grpc.aio.Server | None = None
        context.bus.listen(self._service.streams.on_publish)
        context.faults.armed.listen(self.wake)

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return len(self._service.streams)

    @property
    def subscribed(self) -> frozenset[str]:
        """Topics that have a subscription."""
        return self._service.streams.topics

    def wake(self) -> None:
        """Check all streams again, for example after a token was revoked."""
        self._service.streams.wake()

    async def start(self, host: str, port: int, certificates: Certificates | None) -> int:
        """Listen, with TLS if there are certificates, and return the port; port 0 takes a free port.

        Raises `OSError` if the address is not available.
        """
        first, *others = _addresses(host)
        if port:
            _check_free(first, port)
        server = grpc.aio.server(options=self._options())
        server.add_generic_rpc_handlers((self._handlers(),))
        bound = _bind(server, first, port, certificates)
        for address in others:
            _bind(server, address, bound, certificates)
        await server.start()
        self._server = server
        return bound

    async def close(self) -> None:
        """End all calls and stop listening."""
        if self._server is not None:
            await self._server.stop(None)

    def _options(self) -> list[tuple[str, int]]:
        return [
            # Without this option, two servers could share a port without an error.
            ("grpc.so_reuseport", 0),
            # The sandbox refuses a request up to twice too large as Salesforce does; gRPC refuses larger
            # requests.
            ("grpc.max_receive_message_length", 2 * self._limits.request_bytes),
            ("grpc.max_concurrent_streams", _STREAMS_OF_A_CONNECTION),
            # Clients may ping a quiet connection as often as they like.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_ping_strikes", 0),
        ]

    def _handlers(self) -> "grpc.GenericRpcHandler[Any, Any]":
        service = self._service
        unary, streamed = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = {
            SUBSCRIBE.name: _method(streamed, SUBSCRIBE, _streaming(self._subscribe)),
            GET_SCHEMA.name: _method(unary, GET_SCHEMA, self._answering(service.schema, kinds.SCHEMA)),
            GET_TOPIC.name: _method(unary, GET_TOPIC, self._answering(service.topic, kinds.TOPIC)),
            PUBLISH.name: _method(unary, PUBLISH, self._answering(service.publishing.publish, kinds.PUBLISH)),
            PUBLISH_STREAM.name: _method(streamed, PUBLISH_STREAM, _streaming(self._publish)),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _answering(self, answer: _Answer, on: str) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            call_id = str(uuid.uuid4())
            try:
                call = await self._service.admission.admit(call_id, context.invocation_metadata(), on=on)
                return answer(request, call)
            except CallAborted as error:
                return await error.abort(context, call_id)

        return handle

    async def _subscribe(self, stream: Any, call_id: str) -> None:
        service = self._service
        with service.streams.opened():
            # If a refusal is sent before the first request arrives, gRPC's asyncio client reports INTERNAL.
            request = await service.first_request(stream)
            call = await service.admission.admit(call_id, stream.invocation_metadata(), on=kinds.SUBSCRIBE)
            if request is not None:
                await service.subscribe(stream, call, request)

    async def _publish(self, stream: Any, call_id: str) -> None:
        call = await self._service.admission.admit(call_id, stream.invocation_metadata(), on=kinds.PUBLISH)
        with self._service.streams.opened():
            await self._service.publishing.publish_stream(stream, call)


def _streaming(serve: _Stream) -> Any:
    async def handle(_requests: Any, context: Any) -> None:
        call_id = str(uuid.uuid4())
        try:
            await serve(context, call_id)
        except CallAborted as error:
            await error.abort(context, call_id)

    return handle


def _method(make: Callable[..., Any], method: Method[Any, Any], handler: Any) -> Any:
    return make(
        handler,
        request_deserializer=method.request.FromString,
        response_serializer=method.response.SerializeToString,
    )


def _addresses(host: str) -> list[str]:
    """Return the addresses of a host; for `localhost`, the loopback addresses that the machine has."""
    if host != "localhost":
        return [host]
    with suppress(OSError):
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1"]


def _check_free(address: str, port: int) -> None:
    # gRPC's error does not say why it can't listen.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    socket.create_server((address, port), family=family).close()


def _bind(server: grpc.aio.Server, address: str, port: int, certificates: Certificates | None) -> int:
    at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        if certificates is None:
            return server.add_insecure_port(at)
        pair = (certificates.private_key(), certificates.chain())
        return server.add_secure_port(at, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise OSError(f"can't listen on {at}") from error
