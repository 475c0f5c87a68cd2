"""Handlers of the Bayeux meta channels."""

from streamer.sandbox import bayeux
from streamer.sandbox.bayeux import (
    HANDSHAKE_EXT,
    LONG_POLLING,
    PUBLISH_DENIED,
    STOP,
    UNKNOWN_CLIENT,
    Failure,
    JsonObject,
    invalid_connection_type,
    success,
)
from streamer.sandbox.cometd.http_exchange import HttpExchange
from streamer.sandbox.cometd.long_poll import LongPoll
from streamer.sandbox.cometd.request_checks import RequestChecks, injection_point
from streamer.sandbox.cometd.session import CometdSession, SessionState
from streamer.sandbox.cometd.sessions import ServerContext
from streamer.sandbox.cometd.subscription import Delivery, is_due, next_batch
from streamer.sandbox.cometd.subscription_planner import ChannelAccess, SubscriptionPlanner
from streamer.sandbox.faults.armed import Fault, InjectionPoint


class MetaChannels:
    """Answers handshake, connect, subscribe, unsubscribe and disconnect messages."""

    def __init__(self, context: ServerContext, checks: RequestChecks, access: ChannelAccess) -> None:
        self._context = context
        self._armed = context.armed
        self._checks = checks
        self._planner = SubscriptionPlanner(context.bus, context.armed, access)
        self._long_poll = LongPoll(context, checks)

    async def answer(self, exchange: HttpExchange, message: JsonObject) -> None:
        """Add to the exchange the reply to one message, and the events that belong to the reply.

        Raises `Superseded` when a later connect has replaced this one.
        """
        channel = str(message.get("channel"))
        if channel not in bayeux.META_CHANNELS:
            exchange.replies.append(PUBLISH_DENIED.reply_to(message))
            return
        failure = self._checks.refusal(exchange, message)
        if failure is not None:
            self._refuse(exchange, message, failure)
        elif channel == bayeux.HANDSHAKE:
            self._handshake(exchange, message)
        else:
            await self._in_session(exchange, message)

    async def _in_session(self, exchange: HttpExchange, message: JsonObject) -> None:
        session = self._checks.session(exchange, message)
        if isinstance(session, Failure):
            self._refuse(exchange, message, session)
            return
        self._context.sessions.touch(session)
        match message["channel"]:
            case bayeux.CONNECT:
                await self._connect(exchange, session, message)
            case bayeux.SUBSCRIBE:
                await self._subscribe(exchange, session, message)
            case bayeux.UNSUBSCRIBE:
                self._unsubscribe(exchange, session, message)
            case _:
                self._context.sessions.end(session, SessionState.DISCONNECTED)
                self._reply(exchange, success(message))

    def _handshake(self, exchange: HttpExchange, message: JsonObject) -> None:
        failure = self._checks.handshake_refusal(message)
        if failure is not None:
            self._refuse(exchange, message, failure)
            return
        session = self._context.sessions.open(exchange.cookies, exchange.version)
        exchange.did_handshake = True
        reply = {
            **success({**message, "clientId": session.client_id}),
            "ext": dict(HANDSHAKE_EXT),
            "minimumVersion": "1.0",
            "version": "1.0",
            "supportedConnectionTypes": [LONG_POLLING],
        }
        self._reply(exchange, reply)

    async def _connect(self, exchange: HttpExchange, session: CometdSession, message: JsonObject) -> None:
        if message.get("connectionType") != LONG_POLLING:
            self._refuse(exchange, message, invalid_connection_type(message.get("connectionType")))
            return
        number = session.begin_connect()
        exchange.connected = session
        advice = self._advice(session, first=number == 1)
        if advice is None and exchange.is_single:
            await self._long_poll.hold(exchange, session, message, number)
            self._context.sessions.touch(session)
            failure = self._failure_after_hold(exchange, session, message)
            if failure is not None:
                self._refuse(exchange, message, failure)
                return
        self._finish_connect(exchange, session, message, advice)

    def _failure_after_hold(
        self, exchange: HttpExchange, session: CometdSession, message: JsonObject
    ) -> Failure | None:
        gone = (
            session.state is SessionState.FORGOTTEN
            or self._checks.lapse_cookie(exchange, bayeux.CONNECT)
            or self._checks.forget_client(exchange, session, bayeux.CONNECT)
        )
        if gone:
            return UNKNOWN_CLIENT
        return self._checks.refusal(exchange, message)

    def _finish_connect(
        self, exchange: HttpExchange, session: CometdSession, message: JsonObject, advice: JsonObject | None
    ) -> None:
        point = injection_point(exchange, bayeux.CONNECT)
        if session.state is SessionState.DISCONNECTED:
            advice = dict(STOP)
        elif fault := self._armed.strike("disconnect", point):
            self._disconnect(exchange, session, message, fault)
            return
        elif fault := self._armed.strike("advise", point):
            advice = fault.settings["advice"]
        self._deliver(exchange, session, message, advice)

    def _deliver(
        self, exchange: HttpExchange, session: CometdSession, message: JsonObject, advice: JsonObject | None
    ) -> None:
        batch = self._batch(session)
        point = InjectionPoint(on="connect", version=exchange.version, events=len(batch))
        if fault := self._armed.strike("events_beside_failure", point):
            self._context.sessions.end(session)
            exchange.replies.append(fault.settings["failure"].reply_to(message))
        else:
            more = {} if advice is None else {"advice": advice}
            exchange.replies.append(success(message, **more))
        self._send(exchange, batch, on="connect")

    def _advice(self, session: CometdSession, *, first: bool) -> JsonObject | None:
        if self._context.sessions.shares_browser(session):
            interval = self._context.limits.busy_interval_ms
            return {**self._context.limits.first_advice, "interval": interval, "multiple-clients": True}
        return dict(self._context.limits.first_advice) if first else None

    def _disconnect(
        self, exchange: HttpExchange, session: CometdSession, message: JsonObject, fault: Fault
    ) -> None:
        self._context.sessions.end(session)
        disconnect = {"channel": bayeux.DISCONNECT, "clientId": session.client_id, "successful": True}
        self._reply(exchange, disconnect)
        if fault.settings["form"] == "with_reply":
            exchange.replies.append(success(message, advice=dict(STOP)))

    async def _subscribe(self, exchange: HttpExchange, session: CometdSession, message: JsonObject) -> None:
        planned = self._planner.plan(message, exchange.authorisation)
        if isinstance(planned, Failure):
            self._refuse(exchange, message, planned)
            return
        session.subscriptions |= {subscription.name: subscription for subscription in planned}
        if self._armed.strike("events_before_reply", injection_point(exchange, bayeux.SUBSCRIBE)):
            await self._deliver_first(exchange, session)
        session.woken.set()
        self._reply(exchange, success(message, subscription=message["subscription"]))

    async def _deliver_first(self, exchange: HttpExchange, session: CometdSession) -> None:
        if session.held and is_due(session.subscriptions, self._context.bus):
            session.answered.clear()
            session.woken.set()
            await session.answered.wait()
            return
        batch = self._batch(session)
        self._send(exchange, batch, on="subscribe")

    def _batch(self, session: CometdSession) -> list[Delivery]:
        limits, usage = self._context.limits, self._context.usage
        until_fault = self._armed.events_until_due() or limits.response_events
        remaining = usage.delivered_events.remaining or limits.response_events
        return next_batch(
            session.subscriptions,
            self._context.bus,
            limit=min(limits.response_events, until_fault, remaining),
            max_bytes=limits.response_bytes,
        )

    def _send(self, exchange: HttpExchange, batch: list[Delivery], *, on: str) -> None:
        exchange.deliver(batch, self._armed, on=on)
        self._context.usage.deliver(subscription.path for subscription, _ in batch)

    def _unsubscribe(self, exchange: HttpExchange, session: CometdSession, message: JsonObject) -> None:
        asked = message.get("subscription")
        for name in asked if isinstance(asked, list) else [asked]:
            session.subscriptions.pop(str(name), None)
        self._reply(exchange, success(message, subscription=asked))

    def _refuse(self, exchange: HttpExchange, message: JsonObject, failure: Failure) -> None:
        self._reply(exchange, failure.reply_to(message))

    def _reply(self, exchange: HttpExchange, reply: JsonObject) -> None:
        exchange.replies.append(reply)
        exchange.deliver([], self._armed, on=str(reply["channel"]).removeprefix("/meta/"))
