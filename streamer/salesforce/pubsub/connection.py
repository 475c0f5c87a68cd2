"""Connection to the Pub/Sub API: one HTTP/2 connection for all streams of an org."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import ChannelConnectivity
from yarl import URL

from streamer.backoff import Backoff, Delays, full_jitter
from streamer.clock import Clock
from streamer.eventbus import FetchRequest, SchemaRequest
from streamer.eventbus.calls import GET_SCHEMA, SUBSCRIBE, Call
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.subscription import SubscribeStream
from streamer.salesforce.sessions import Reaction, SessionObserver
from streamer.web.proxy import refused_by, through

# gRPC's message about a proxy that does not connect us.
_PROXY_ANSWER = re.compile(r"HTTP proxy returned response code (\d+)")

# The shortest delay that gRPC allows; our own back-off is added to it.
_RECONNECT_MS = 100

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)


@dataclass(slots=True, kw_only=True)
class _Link:
    """gRPC's channel. A retired channel is closed when its last call ends."""

    channel: grpc.aio.Channel
    calls: int = 0
    is_retired: bool = False


class PubSubConnection:
    """Makes the calls of one org over one HTTP/2 connection.

    After a connection breaks, the next call opens another. If no connection can be
    opened, all calls wait for the same delay and share the next try. If a
    connection is alive but answers nothing, new calls get another connection, and
    running streams stay on the old connection.
    """

    def __init__(self, options: PubSubOptions, clock: Clock, random: Callable[[], float]) -> None:
        """Connect to the endpoint of `options`."""
        self._options = options
        self._clock = clock
        self._proxy = options.proxy
        self._arguments = _arguments(options)
        self._link: _Link | None = None
        self._delays = Delays(
            Backoff(first_s=1.0, limit_s=options.reconnect_limit_s, jitter=full_jitter(random))
        )
        self._resumes_at = 0.0

    @asynccontextmanager
    async def subscribed(
        self, request: FetchRequest, token: AccessToken, observer: SessionObserver
    ) -> AsyncIterator[SubscribeStream]:
        """Run a Subscribe stream that begins with `request`. Methods of the stream raise `CallEnded`."""
        async with self._linked() as link:
            # Given a message type, gRPC would only log an answer that can't be parsed, and drop it.
            subscribe = link.channel.stream_stream(
                SUBSCRIBE.path,
                request_serializer=SUBSCRIBE.request.SerializeToString,
                response_deserializer=bytes,
            )
            call = subscribe(None, metadata=_metadata(token))
            subscription = SubscribeStream(
                call, request, self._options, self._clock, observer, secret=token.access_token
            )
            receiving = asyncio.create_task(subscription.receive(), name=f"pubsub {request.topic_name}")
            try:
                yield subscription
            finally:
                call.cancel()
                receiving.cancel()
                await asyncio.wait([receiving])

    async def schema(self, schema_id: str, token: AccessToken) -> str:
        """Return the JSON of a schema. Raises `CallEnded`."""
        return (await self.ask(GET_SCHEMA, SchemaRequest(schema_id=schema_id), token)).schema_json

    async def ask(self, call: Call[_Request, _Response], request: _Request, token: AccessToken) -> _Response:
        """Return the answer to a call with one request. Raises `CallEnded`."""
        async with self._linked() as link:
            ask = link.channel.unary_unary(
                call.path, request_serializer=call.request.SerializeToString, response_deserializer=bytes
            )
            try:
                async with self._clock.timeout(self._options.request_timeout_s):
                    raw = await ask(request, metadata=_metadata(token))
                return call.response.FromString(raw)
            except TimeoutError as exc:
                detail = f"Salesforce did not answer in {self._options.request_timeout_s:g} s"
                raise CallEnded("overdue", detail, reaction=Reaction.TRY_AGAIN) from exc
            except grpc.aio.AioRpcError as exc:
                raise CallEnded.by(exc, secret=token.access_token) from exc
            except DecodeError as exc:
                detail = f"the answer is not a valid {call.response.DESCRIPTOR.name}"
                raise CallEnded("answer_broken", detail, reaction=Reaction.TRY_AGAIN) from exc

    def proved(self) -> None:
        """Record that Salesforce answered over the connection."""
        self._delays.reset()

    async def close(self) -> None:
        """Close the connection; no call may be running."""
        if self._link is not None:
            link, self._link = self._link, None
            await link.channel.close(None)

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[_Link]:
        while (left := self._resumes_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        link = self._link = self._link or _Link(channel=self._channel())
        link.calls += 1
        try:
            yield link
        except CallEnded as ended:
            self._judge(link, ended)
            raise
        finally:
            link.calls -= 1
            if link.is_retired and not link.calls:
                await link.channel.close(None)

    def _judge(self, link: _Link, ended: CallEnded) -> None:
        if ended.reason == "overdue":
            self._retire(link)
        elif ended.is_unanswered:
            self._name_proxy(ended)
            if link.channel.get_state() is ChannelConnectivity.TRANSIENT_FAILURE:
                # Only the first call that notices the failure sets the delay. gRPC would try again by itself.
                if self._retire(link):
                    self._resumes_at = self._clock.monotonic() + self._delays.next_s()
                ended.after_s = max(0.0, self._resumes_at - self._clock.monotonic())

    def _name_proxy(self, ended: CallEnded) -> None:
        """Add to `ended` that the call used a proxy, and whether the proxy refused to connect."""
        if self._proxy is None:
            return
        ended.detail += through(self._proxy)
        if refused := _PROXY_ANSWER.search(ended.detail):
            ended.reason = "proxy_failed"
            ended.detail = str(refused_by(self._proxy, int(refused[1]), self._options.endpoint.host))

    def _channel(self) -> grpc.aio.Channel:
        endpoint = self._options.endpoint
        target = self._proxy.address if self._proxy else _address(endpoint)
        if endpoint.scheme == "http":
            return grpc.aio.insecure_channel(target, self._arguments)
        credentials = grpc.ssl_channel_credentials(self._options.authorities)
        return grpc.aio.secure_channel(target, credentials, self._arguments)

    def _retire(self, link: _Link) -> bool:
        link.is_retired = True
        if self._link is not link:
            return False
        self._link = None
        return True


def _metadata(token: AccessToken) -> tuple[tuple[str, str], ...]:
    return (
        ("accesstoken", token.access_token),
        # `URL` encodes a host name with non-ASCII letters.
        ("instanceurl", str(URL(token.instance_url)).rstrip("/")),
        ("tenantid", token.org),
    )


def _address(url: URL) -> str:
    return f"{url.host_subcomponent}:{url.port}"


def _arguments(options: PubSubOptions) -> list[tuple[str, str | int]]:
    """Return gRPC's arguments for a channel."""
    arguments: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", "streamer"),
        ("grpc.max_receive_message_length", options.answer_bytes),
        ("grpc.keepalive_time_ms", round(options.ping_every_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(options.ping_timeout_s * 1000)),
        # gRPC also pings to measure bandwidth; while such a ping is open, gRPC sends no other ping.
        ("grpc.http2.ping_timeout_ms", round(options.ping_timeout_s * 1000)),
        # A quiet stream must be pinged for as long as it exists.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
        # Otherwise a new channel would share the broken connection of the old one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        # gRPC's own rules for proxies differ from those of our other clients.
        ("grpc.enable_http_proxy", 0),
    ]
    proxy, address = options.proxy, _address(options.endpoint)
    if proxy is None:
        return arguments
    arguments += [("grpc.default_authority", address), ("grpc.http_connect_server", address)]
    if proxy.authorization:
        arguments.append(("grpc.http_connect_headers", f"Proxy-Authorization:{proxy.authorization}"))
    return arguments
