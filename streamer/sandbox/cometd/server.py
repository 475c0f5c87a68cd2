"""HTTP front end of the CometD server."""

import re
from collections.abc import Callable, Sequence

import orjson
from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.bayeux import HANDSHAKE, VERSION_MISSING, VERSION_UNSUPPORTED, Failure, JsonObject
from streamer.sandbox.cometd.cookies import LoadBalancer
from streamer.sandbox.cometd.http_exchange import HttpExchange
from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.meta_channels import MetaChannels
from streamer.sandbox.cometd.request_checks import RequestChecks
from streamer.sandbox.cometd.response_sender import ResponseSender
from streamer.sandbox.cometd.session import Superseded
from streamer.sandbox.cometd.sessions import CometdSessions, ServerContext
from streamer.sandbox.cometd.subscription_planner import ChannelAccess
from streamer.sandbox.faults.armed import InjectionPoint
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.usage import OrgUsage

_VERSION = re.compile(r"\d{1,3}\.0")
_OLDEST_VERSION = 37.0


class CometdServer:
    """Serves the channels of `bus` as Salesforce's Streaming API does.

    `authorised` takes the value of the `Authorization` header.
    """

    def __init__(
        self,
        bus: EventBus,
        clock: Clock,
        faults: Faults,
        *,
        authorised: Callable[[str | None], bool],
        access: ChannelAccess,
        limits: CometdLimits | None = None,
    ) -> None:
        self._limits = limits or CometdLimits()
        self._armed = faults.armed
        self._sessions = CometdSessions(clock, self._limits)
        self._balancer = LoadBalancer(clock, self._limits.cookie_s)
        context = ServerContext(
            bus=bus,
            clock=clock,
            armed=self._armed,
            limits=self._limits,
            sessions=self._sessions,
            usage=access.usage or OrgUsage(clock),
        )
        checks = RequestChecks(context, self._balancer, faults, authorised)
        self._meta = MetaChannels(context, checks, access)
        self._sender = ResponseSender(context)
        bus.listen(self._on_publish)
        faults.armed.listen(self.wake)

    @property
    def clients(self) -> int:
        """Number of live Bayeux sessions."""
        return len(self._sessions)

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths of all channels that have a subscription."""
        return frozenset(each.path for session in self._sessions for each in session.subscriptions.values())

    def subscribers(self, path: str) -> frozenset[str | None]:
        """Return the `Authorization` headers of the clients that are subscribed to a channel."""
        subscriptions = (each for session in self._sessions for each in session.subscriptions.values())
        return frozenset(each.authorisation for each in subscriptions if each.path == path)

    @property
    def held(self) -> int:
        """Number of held connects."""
        return sum(session.held for session in self._sessions)

    @property
    def delivered(self) -> int:
        """Number of events written into answers, summed over all clients."""
        return self._armed.delivered

    def routes(self) -> list[web.RouteDef]:
        """Return the routes under `/cometd`."""
        paths = ("/cometd", "/cometd/", "/cometd/{version}", "/cometd/{version}/", "/cometd/{version}/{type}")
        return [web.post(path, self._handle) for path in paths]

    def wake(self) -> None:
        """Check all held connects again, for example after a token was revoked."""
        for session in self._sessions:
            session.woken.set()

    async def close(self, _: web.Application | None = None) -> None:
        """End all sessions, so that a stopping server does not wait for held connects."""
        self._armed.heal()
        for session in self._sessions:
            self._sessions.end(session)

    def _on_publish(self, paths: Sequence[str]) -> None:
        published = set(paths)
        for session in self._sessions:
            if any(subscription.path in published for subscription in session.subscriptions.values()):
                session.woken.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = _refusal(request, self._limits.request_bytes)
        if refusal is not None:
            return refusal
        body = await request.read()
        if len(body) > self._limits.request_bytes:
            return _too_large()
        messages = _messages(body)
        if messages is None:
            return _html(400, "Bad Request")
        point = _point(request, messages)
        if fault := self._armed.strike("http_error", point):
            return _html(fault.settings["status"], fault.settings["body"])
        return await self._respond(request, messages, point)

    async def _respond(
        self, request: web.Request, messages: list[JsonObject], point: InjectionPoint
    ) -> web.StreamResponse:
        exchange = HttpExchange(
            version=point.version,
            authorisation=request.headers.get("Authorization"),
            cookies=self._balancer.route(request),
            is_single=len(messages) == 1,
        )
        try:
            for message in messages:
                await self._meta.answer(exchange, message)
            return await self._sender.send(request, exchange)
        except Superseded:
            return _html(500, "<html><body><h2>HTTP ERROR 500</h2></body></html>")
        finally:
            if exchange.connected is not None:
                exchange.connected.answered.set()


def _refusal(request: web.Request, request_bytes: int) -> web.Response | None:
    version = request.match_info.get("version", "")
    if not _VERSION.fullmatch(version):
        return _bayeux_error(400, VERSION_MISSING)
    if float(version) < _OLDEST_VERSION:
        return _bayeux_error(400, VERSION_UNSUPPORTED)
    if request.content_type != "application/json":
        return _html(415, "<html><body>Content-Type must be application/json</body></html>")
    return _too_large() if (request.content_length or 0) > request_bytes else None


def _too_large() -> web.Response:
    return _html(413, "413::Maximum Request Size Exceeded")


def _messages(body: bytes) -> list[JsonObject] | None:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    messages = parsed if isinstance(parsed, list) else [parsed]
    return messages if messages and all(isinstance(message, dict) for message in messages) else None


def _point(request: web.Request, messages: list[JsonObject]) -> InjectionPoint:
    channel = str(messages[0].get("channel", ""))
    return InjectionPoint(on=channel.removeprefix("/meta/"), version=float(request.match_info["version"]))


def _bayeux_error(status: int, error: str) -> web.Response:
    reply = Failure(error=error, advice={"reconnect": "none"}).reply_to({"channel": HANDSHAKE})
    return web.Response(status=status, body=orjson.dumps([reply]), content_type="application/json")


def _html(status: int, body: str) -> web.Response:
    return web.Response(status=status, text=body, content_type="text/html")
