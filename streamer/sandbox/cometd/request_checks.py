"""Checks of each Bayeux request: access token, session and cookies, and faults that refuse requests."""

from collections.abc import Callable

from streamer.sandbox import bayeux
from streamer.sandbox.bayeux import (
    CONCURRENT_LIMIT,
    DAILY_LIMIT,
    LONG_POLLING,
    NO_HANDSHAKE,
    STOP,
    UNKNOWN_CLIENT,
    Failure,
    JsonObject,
    cookie_missing,
    handshake_denied,
    invalid_connection_type,
    unauthenticated,
)
from streamer.sandbox.cometd.cookies import LoadBalancer
from streamer.sandbox.cometd.http_exchange import HttpExchange
from streamer.sandbox.cometd.session import CometdSession
from streamer.sandbox.cometd.sessions import ServerContext
from streamer.sandbox.faults.armed import InjectionPoint
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.usage import counts_as_delivered

_REFUSING_FAULTS = ("busy", "handshake_denied", "daily_limit")


class RequestChecks:
    """Refuses requests because of their access token, session or cookies, or because of an armed fault."""

    def __init__(
        self,
        context: ServerContext,
        balancer: LoadBalancer,
        faults: Faults,
        authorised: Callable[[str | None], bool],
    ) -> None:
        """Build the checks; `authorised` takes the value of the `Authorization` header."""
        self._sessions = context.sessions
        self._usage = context.usage
        self._balancer = balancer
        self._faults = faults
        self._authorised = authorised

    def is_authorised(self, exchange: HttpExchange) -> bool:
        """Return whether the request's access token is valid now."""
        authorisation = exchange.authorisation
        return not self._faults.is_expired(authorisation) and self._authorised(authorisation)

    def refusal(self, exchange: HttpExchange, message: JsonObject) -> Failure | None:
        """Return the refusal of a request in any session, or `None`.

        A session ends with the access token of its requests. Call this method again
        when a held connect ends, because faults can have become due meanwhile.
        """
        channel = str(message["channel"])
        point = injection_point(exchange, channel)
        armed = self._faults.armed
        if armed.strike("expire_session", point):
            self._faults.expire(exchange.authorisation)
        if not self.is_authorised(exchange):
            if session := self._sessions.find(message.get("clientId")):
                self._sessions.end(session)
            return unauthenticated(channel, exchange.authorisation)
        for name in _REFUSING_FAULTS:
            if fault := armed.strike(name, point):
                failure: Failure = fault.settings["failure"]
                return failure
        return Failure(error=DAILY_LIMIT, advice=STOP) if self._exceeds_daily_limit(message) else None

    def _exceeds_daily_limit(self, message: JsonObject) -> bool:
        """Return whether a message asks for platform or change events although today's limit is used up."""
        if not self._usage.delivered_events.is_used_up:
            return False
        match message["channel"]:
            case bayeux.SUBSCRIBE:
                asked = message.get("subscription")
                names = asked if isinstance(asked, list) else [asked]
            case bayeux.CONNECT:
                session = self._sessions.find(message.get("clientId"))
                names = list(session.subscriptions) if session else []
            case _:
                return False
        return not names or any(counts_as_delivered(str(name)) for name in names)

    def handshake_refusal(self, message: JsonObject) -> Failure | None:
        """Return the refusal of a handshake, or `None`; the client must be admitted already."""
        offered = message.get("supportedConnectionTypes")
        offered = offered if isinstance(offered, list) else [offered]
        if LONG_POLLING not in offered:
            return invalid_connection_type(offered[0] if offered else "")
        return handshake_denied(CONCURRENT_LIMIT) if self._sessions.is_full else None

    def session(self, exchange: HttpExchange, message: JsonObject) -> CometdSession | Failure:
        """Return the session that the message names, or the refusal of the request."""
        client_id = message.get("clientId")
        if not client_id:
            return NO_HANDSHAKE
        session = self._sessions.find(client_id)
        channel = str(message["channel"])
        if self.lapse_cookie(exchange, channel) or session is None:
            return UNKNOWN_CLIENT
        if not exchange.cookies.had_browser:
            return cookie_missing(session.client_id)
        if (session.browser, session.node) != (exchange.cookies.browser, exchange.cookies.node):
            return UNKNOWN_CLIENT
        return UNKNOWN_CLIENT if self.forget_client(exchange, session, channel) else session

    def lapse_cookie(self, exchange: HttpExchange, channel: str) -> bool:
        """If a fault demands it, route the client away from its session's node.

        Return whether this happened.
        """
        if not self._faults.armed.strike("lapse_cookie", injection_point(exchange, channel)):
            return False
        self._balancer.reroute(exchange.cookies)
        return True

    def forget_client(self, exchange: HttpExchange, session: CometdSession, channel: str) -> bool:
        """Drop the session if a fault demands it; return whether this happened."""
        if not self._faults.armed.strike("forget_client", injection_point(exchange, channel)):
            return False
        self._sessions.end(session)
        return True


def injection_point(exchange: HttpExchange, channel: str) -> InjectionPoint:
    """Return the injection point of an answer on `channel`."""
    return InjectionPoint(on=channel.removeprefix("/meta/"), version=exchange.version)
