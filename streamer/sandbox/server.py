"""The sandbox as one HTTP server."""

import socket
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.access.events import EventView, channel_refusal
from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from streamer.sandbox.admission import OriginCheck
from streamer.sandbox.apex import ApexMethods
from streamer.sandbox.apex.rest import ApexRest
from streamer.sandbox.apex.soap import ApexSoap
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.auth.directory import Directory
from streamer.sandbox.auth.discovery import discovery_routes
from streamer.sandbox.auth.oauth import OAuth
from streamer.sandbox.auth.soap import Soap
from streamer.sandbox.auth.token_state import TokenState
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.background import BackgroundTasks
from streamer.sandbox.certificates import Certificates
from streamer.sandbox.cometd import ChannelAccess, CometdLimits, CometdServer, MessageView
from streamer.sandbox.control import ControlApi, Controlled
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.org import OrgSetup, SandboxOrg
from streamer.sandbox.outbound import OutboundLimits
from streamer.sandbox.outbound.sender import Instance, OutboundSender
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.replication import ReplicationLimits
from streamer.sandbox.rest.server import RestParts, rest_routes
from streamer.sandbox.rest.streaming_channels import RestStreamingChannels
from streamer.sandbox.streaming.channels import StreamingChannels

if TYPE_CHECKING:
    from streamer.sandbox.pubsub.server import PubSubServer

_MAX_BODY_BYTES = 50_000_000
# Salesforce accepts up to 16,384 bytes for the address and headers of a request.
_MAX_LINE_BYTES = 16_384
_SHUTDOWN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """The org, its login, and the limits of its servers, outbound messages, Bulk jobs and replication.

    The org's own user can do everything. `users` are further users; a further user with
    the own user's name replaces the own user. Events are kept for `retention_s`
    seconds, and for `purge_late_s` more seconds if the purge runs late. With `tls`, all
    APIs use TLS; the Pub/Sub API needs `Certificates`, and does not accept a context.
    `names` are further host names by which clients reach the sandbox; the control API
    accepts no other names.
    """

    org: OrgSetup = field(default_factory=OrgSetup)
    app: ConnectedApp = field(default_factory=ConnectedApp)
    users: tuple[User, ...] = ()
    cometd: CometdLimits = field(default_factory=CometdLimits)
    pubsub: PubSubLimits = field(default_factory=PubSubLimits)
    outbound: OutboundLimits = field(default_factory=OutboundLimits)
    bulk: BulkLimits = field(default_factory=BulkLimits)
    replication: ReplicationLimits = field(default_factory=ReplicationLimits)
    retention_s: float = 72 * 3600.0
    purge_late_s: float = 0.0
    tls: Certificates | ssl.SSLContext | None = None
    names: tuple[str, ...] = ()


class ListenFailed(OSError):
    """The sandbox can't listen on its address, or on the address of its Pub/Sub API."""

    def __init__(self, error: OSError, *, host: str, port: int, is_pubsub: bool) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.host = host
        self.port = port
        self.is_pubsub = is_pubsub


class Sandbox:
    """A Salesforce org on this machine: OAuth, REST, CometD, Pub/Sub, and `/sandbox/*` to control it.

    This is an async context manager, which raises `ListenFailed` if it can't listen.
    The sandbox listens on loopback unless `host` names another address, because every
    client that reaches the sandbox can control it. With port 0, the system chooses a
    free port. The sandbox serves the Pub/Sub API only if `pubsub_port` is set. All
    timers run on `clock`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        host: str = "localhost",
        port: int = 0,
        pubsub_port: int | None = None,
        settings: SandboxSettings | None = None,
    ) -> None:
        self._settings = settings or SandboxSettings()
        if pubsub_port is not None and isinstance(self._settings.tls, ssl.SSLContext):
            raise TypeError("The Pub/Sub API can't use an SSLContext: set `tls` to Certificates.")
        self.bus = EventBus(
            clock, retention_s=self._settings.retention_s, purge_late_s=self._settings.purge_late_s
        )
        self.faults = Faults(self.bus)
        self.org = SandboxOrg(clock, self.bus, self._settings.org)
        self.org.intercept(self.faults.altered)
        self.users = Users(self.org, self._settings.users)
        self.tokens = TokenIssuer(clock, org_id=self.org.settings.org_id)
        self.apex = ApexMethods()
        self.streaming = StreamingChannels(self.org, self.bus, clock)
        self.cometd = CometdServer(
            self.bus,
            clock,
            self.faults,
            authorised=self.tokens.valid,
            access=self._channel_access(),
            limits=self._settings.cometd,
        )
        self.outbound = OutboundSender(
            self.org,
            self.faults,
            clock,
            limits=self._settings.outbound,
            instance=Instance(url=lambda: self.url, new_token=self._new_token),
        )
        self._issue_refresh_token()
        # A held connect must end at once when its token is revoked.
        self.tokens.listen(self.cometd.wake)
        self._clock = clock
        self._host = host
        self._port = port
        self._pubsub_port = pubsub_port
        self.pubsub: PubSubServer | None = None
        self._background = BackgroundTasks()
        self._running = AsyncExitStack()

    @property
    def url(self) -> str:
        """Base URL of the sandbox, which is both its login URL and its instance URL."""
        return f"{'https' if self._settings.tls else 'http'}://{self._host}:{self._port}"

    @property
    def pubsub_address(self) -> str:
        """Host and port of the Pub/Sub API; raises `RuntimeError` if the sandbox does not serve this API."""
        if self.pubsub is None:
            raise RuntimeError("The sandbox does not serve the Pub/Sub API: set `pubsub_port`.")
        return f"{self._host}:{self._pubsub_port}"

    def refresh_org(self, org_id: str | None = None, *, repeat_ids: bool = False) -> str:
        """Refresh the org as `SandboxOrg.refresh` does, end all sessions, and return the org's new id.

        Users, apps and refresh tokens stay, so that a client can log in again.
        """
        new_id = self.org.refresh(org_id, repeat_ids=repeat_ids)
        self.tokens.org_id = new_id
        self.tokens.revoke_all()
        return new_id

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            starting.push_async_callback(self._background.close)
            starting.push_async_callback(self.outbound.close)
            runner = web.AppRunner(
                self._web(), access_log=None, shutdown_timeout=_SHUTDOWN_S, max_line_size=_MAX_LINE_BYTES
            )
            starting.push_async_callback(runner.cleanup)
            await runner.setup()
            starting.push_async_callback(self.cometd.close)
            for listener in self._listeners():
                await web.SockSite(runner, listener, ssl_context=self._tls_context()).start()
                self._port = listener.getsockname()[1]
            if self._pubsub_port is not None:
                await self._start_pubsub(starting, self._pubsub_port)
            self._running = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def _start_pubsub(self, starting: AsyncExitStack, port: int) -> None:
        from streamer.sandbox.pubsub.context import PubSubContext  # noqa: PLC0415 - as below
        from streamer.sandbox.pubsub.server import PubSubServer  # noqa: PLC0415 - gRPC costs a tenth of a second

        context = PubSubContext(
            org=self.org,
            bus=self.bus,
            users=self.users,
            faults=self.faults,
            clock=self._clock,
            limits=self._settings.pubsub,
            user_of=self._user_of,
        )
        server = PubSubServer(context)
        self.tokens.listen(server.wake)
        starting.push_async_callback(server.close)
        tls = self._settings.tls
        certificates = tls if isinstance(tls, Certificates) else None
        try:
            self._pubsub_port = await server.start(self._host, port, certificates)
        except OSError as error:
            raise ListenFailed(error, host=self._host, port=port, is_pubsub=True) from error
        self.pubsub = server

    def _listeners(self) -> list[socket.socket]:
        try:
            return _listeners(self._host, self._port)
        except OSError as error:
            raise ListenFailed(error, host=self._host, port=self._port, is_pubsub=False) from error

    def _tls_context(self) -> ssl.SSLContext | None:
        tls = self._settings.tls
        return tls.context() if isinstance(tls, Certificates) else tls

    def _new_token(self) -> str:
        settings = self._settings
        return self.tokens.issue(user_id=self.org.settings.user_id, client_id=settings.app.client_id)

    def _user_of(self, token: str) -> str | None:
        session = self.tokens.session(token)
        return None if session is None else session.user_id

    def _channel_access(self) -> ChannelAccess:
        return ChannelAccess(
            refusal=self._channel_refusal,
            filter_refusal=self.streaming.filter_refusal,
            view=self._view,
            usage=self.org.usage,
        )

    def _channel_refusal(self, path: str, authorisation: str | None) -> str | None:
        session = self.tokens.session(authorisation)
        user = self.users[session.user_id] if session else None
        denied = channel_refusal(user, path) if user else None
        if self.streaming.has(path):
            # A user who has no access to a channel must not create it.
            return denied or self.streaming.refusal(path, user)
        return self.org.channels.refusal(path) or denied

    def _view(self, path: str, authorisation: str | None) -> MessageView | None:
        session = self.tokens.session(authorisation)
        if session is None:
            return None
        user = self.users[session.user_id]
        if self.streaming.has(path):
            return self.streaming.view(path, session.user_id, user)
        return EventView(self.org.schema, user) if user.is_restricted else None

    def _online(self, path: str) -> frozenset[str]:
        sessions = map(self.tokens.session, self.cometd.subscribers(path))
        return frozenset(session.user_id for session in sessions if session is not None)

    def _issue_refresh_token(self) -> None:
        app, user_id = self._settings.app, self.org.settings.user_id
        # A key that can't be read is a mistake at the start, not at the first login.
        app.public_key()
        if app.refresh_token:
            self.tokens.issue_refresh_token(user_id=user_id, client_id=app.client_id, token=app.refresh_token)

    def _web(self) -> web.Application:
        directory = Directory(self.users, self._settings.app, self.org)
        controlled = Controlled(
            org=self.org,
            users=self.users,
            tokens=self.tokens,
            faults=self.faults,
            cometd=self.cometd,
            outbound=self.outbound,
            clock=self._clock,
            bus=self.bus,
            refresh=self.refresh_org,
            pubsub_streams=lambda: self.pubsub.streams if self.pubsub else 0,
        )
        control = ControlApi(controlled)
        admission = OriginCheck((self._host, *self._settings.names))
        routes = [
            *OAuth(self._clock, self.tokens, directory).routes(admission.check),
            *TokenState(self.tokens, directory).routes(),
            *discovery_routes(),
            *Soap(self._clock, self.tokens, directory).routes(),
            *self.cometd.routes(),
            *rest_routes(
                RestParts(
                    org=self.org,
                    users=self.users,
                    tokens=self.tokens,
                    cometd=self.cometd,
                    clock=self._clock,
                    streaming=RestStreamingChannels(self.streaming.generic, self._online),
                    faults=self.faults.armed,
                    spawn=self._background.spawn,
                    bulk=self._settings.bulk,
                    replication=self._settings.replication,
                )
            ),
            *ApexRest(self.org, self.tokens, self.apex).routes(),
            *ApexSoap(self.org, self.tokens, self.apex).routes(),
            *control.routes(self._background.spawn, admission),
        ]
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.add_routes(_with_extra_slashes(route) for route in routes)
        application.on_response_prepare.append(self._date)
        return application

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        """Add the org's time to each response, as Salesforce does."""
        response.headers["Date"] = formatdate(self._clock.now(), usegmt=True)


def _with_extra_slashes(route: web.RouteDef) -> web.RouteDef:
    """Return `route`, also for paths that begin with several slashes, because the sf CLI sends such paths."""
    path = "/{slashes:/*}" + route.path.removeprefix("/")
    return web.route(route.method, path, route.handler, **route.kwargs)


def _listeners(host: str, port: int) -> list[socket.socket]:
    """Bind `host` to one port; for `localhost`, bind both loopback addresses."""
    if host != "localhost":
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_bound(family, host, port)]
    first = _bound(socket.AF_INET, "127.0.0.1", port)
    try:
        return [first, _bound(socket.AF_INET6, "::1", first.getsockname()[1])]
    except OSError:
        # Not every machine has IPv6.
        return [first]


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=family, backlog=128)
