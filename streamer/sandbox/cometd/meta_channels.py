"""Answers the messages of the meta channels."""

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
from streamer.sandbox.cometd.admission import Admission, occasion_of
from streamer.sandbox.cometd.exchange import Exchange
from streamer.sandbox.cometd.holding import Holding
from streamer.sandbox.cometd.node import Node
from streamer.sandbox.cometd.session import Session, SessionState
from streamer.sandbox.cometd.subscribing import Known, Subscribing
from streamer.sandbox.cometd.subscription import is_due, next_batch
from streamer.sandbox.faults.pending import Fault, Occasion


class MetaChannels:
    """Handshake, connect, subscribe, unsubscribe and disconnect."""

    def __init__(self, node: Node, admission: Admission, known: Known) -> None:
        self._node = node
        self._pending = node.pending
        self._admission = admission
        self._subscribing = Subscribing(node.bus, node.pending, known)
        self._holding = Holding(node, admission)

    async def answer(self, exchange: Exchange, message: JsonObject) -> None:
        """Add the reply to one message, and the events that go with it.

        Raises `Superseded` when a later connect took the place of this one.
        """
        channel = str(message.get("channel"))
        if channel not in bayeux.META_CHANNELS:
            exchange.replies.append(PUBLISH_DENIED.reply_to(message))
            return
        failure = self._admission.refusal(exchange, message)
        if failure is not None:
            self._refuse(exchange, message, failure)
        elif channel == bayeux.HANDSHAKE:
            self._handshake(exchange, message)
        else:
            await self._in_session(exchange, message)

    async def _in_session(self, exchange: Exchange, message: JsonObject) -> None:
        session = self._admission.session(exchange, message)
        if isinstance(session, Failure):
            self._refuse(exchange, message, session)
            return
        self._node.sessions.touch(session)
        match message["channel"]:
            case bayeux.CONNECT:
                await self._connect(exchange, session, message)
            case bayeux.SUBSCRIBE:
                await self._subscribe(exchange, session, message)
            case bayeux.UNSUBSCRIBE:
                self._unsubscribe(exchange, session, message)
            case _:
                self._node.sessions.end(session, SessionState.DISCONNECTED)
                self._reply(exchange, success(message))

    def _handshake(self, exchange: Exchange, message: JsonObject) -> None:
        failure = self._admission.handshake_refusal(message)
        if failure is not None:
            self._refuse(exchange, message, failure)
            return
        session = self._node.sessions.open(exchange.cookies, exchange.version)
        exchange.shook_hands = True
        reply = {
            **success({**message, "clientId": session.client_id}),
            "ext": dict(HANDSHAKE_EXT),
            "minimumVersion": "1.0",
            "version": "1.0",
            "supportedConnectionTypes": [LONG_POLLING],
        }
        self._reply(exchange, reply)

    async def _connect(self, exchange: Exchange, session: Session, message: JsonObject) -> None:
        if message.get("connectionType") != LONG_POLLING:
            self._refuse(exchange, message, invalid_connection_type(message.get("connectionType")))
            return
        number = session.begin_connect()
        exchange.connected = session
        advice = self._advice(session, first=number == 1)
        if advice is None and exchange.alone:
            await self._holding.hold(exchange, session, message, number)
            self._node.sessions.touch(session)
            failure = self._failure_after_hold(exchange, session, message)
            if failure is not None:
                self._refuse(exchange, message, failure)
                return
        self._finish_connect(exchange, session, message, advice)

    def _failure_after_hold(
        self, exchange: Exchange, session: Session, message: JsonObject
    ) -> Failure | None:
        gone = (
            session.state is SessionState.FORGOTTEN
            or self._admission.lapses(exchange, bayeux.CONNECT)
            or self._admission.forgets(exchange, session, bayeux.CONNECT)
        )
        if gone:
            return UNKNOWN_CLIENT
        return self._admission.refusal(exchange, message)

    def _finish_connect(
        self, exchange: Exchange, session: Session, message: JsonObject, advice: JsonObject | None
    ) -> None:
        occasion = occasion_of(exchange, bayeux.CONNECT)
        if session.state is SessionState.DISCONNECTED:
            advice = dict(STOP)
        elif fault := self._pending.strike("disconnect", occasion):
            self._disconnect(exchange, session, message, fault)
            return
        elif fault := self._pending.strike("advise", occasion):
            advice = fault.settings["advice"]
        self._deliver(exchange, session, message, advice)

    def _deliver(
        self, exchange: Exchange, session: Session, message: JsonObject, advice: JsonObject | None
    ) -> None:
        batch = next_batch(
            session.subscriptions,
            self._node.bus,
            limit=min(
                self._node.limits.response_events, self._pending.room() or self._node.limits.response_events
            ),
            max_bytes=self._node.limits.response_bytes,
        )
        occasion = Occasion(on="connect", version=exchange.version, events=len(batch))
        if fault := self._pending.strike("events_beside_failure", occasion):
            self._node.sessions.end(session)
            exchange.replies.append(fault.settings["failure"].reply_to(message))
        else:
            more = {} if advice is None else {"advice": advice}
            exchange.replies.append(success(message, **more))
        exchange.deliver(batch, self._pending, on="connect")

    def _advice(self, session: Session, *, first: bool) -> JsonObject | None:
        if self._node.sessions.shares_browser(session):
            interval = self._node.limits.busy_interval_ms
            return {**self._node.limits.first_advice, "interval": interval, "multiple-clients": True}
        return dict(self._node.limits.first_advice) if first else None

    def _disconnect(self, exchange: Exchange, session: Session, message: JsonObject, fault: Fault) -> None:
        self._node.sessions.end(session)
        farewell = {"channel": bayeux.DISCONNECT, "clientId": session.client_id, "successful": True}
        self._reply(exchange, farewell)
        if fault.settings["form"] == "with_reply":
            exchange.replies.append(success(message, advice=dict(STOP)))

    async def _subscribe(self, exchange: Exchange, session: Session, message: JsonObject) -> None:
        planned = self._subscribing.plan(message)
        if isinstance(planned, Failure):
            self._refuse(exchange, message, planned)
            return
        session.subscriptions |= {subscription.name: subscription for subscription in planned}
        if self._pending.strike("events_before_reply", occasion_of(exchange, bayeux.SUBSCRIBE)):
            await self._deliver_first(exchange, session)
        session.woken.set()
        self._reply(exchange, success(message, subscription=message["subscription"]))

    async def _deliver_first(self, exchange: Exchange, session: Session) -> None:
        if session.held and is_due(session.subscriptions, self._node.bus):
            session.answered.clear()
            session.woken.set()
            await session.answered.wait()
            return
        batch = next_batch(
            session.subscriptions,
            self._node.bus,
            limit=self._node.limits.response_events,
            max_bytes=self._node.limits.response_bytes,
        )
        exchange.deliver(batch, self._pending, on="subscribe")

    def _unsubscribe(self, exchange: Exchange, session: Session, message: JsonObject) -> None:
        asked = message.get("subscription")
        for name in asked if isinstance(asked, list) else [asked]:
            session.subscriptions.pop(str(name), None)
        self._reply(exchange, success(message, subscription=asked))

    def _refuse(self, exchange: Exchange, message: JsonObject, failure: Failure) -> None:
        self._reply(exchange, failure.reply_to(message))

    def _reply(self, exchange: Exchange, reply: JsonObject) -> None:
        exchange.replies.append(reply)
        exchange.deliver([], self._pending, on=str(reply["channel"]).removeprefix("/meta/"))
