"""Holds a connect until there is something to say."""

from streamer.sandbox.bayeux import CONNECT, JsonObject
from streamer.sandbox.cometd.admission import Admission, occasion_of
from streamer.sandbox.cometd.exchange import Exchange
from streamer.sandbox.cometd.node import Node
from streamer.sandbox.cometd.session import Session, SessionState, Superseded
from streamer.sandbox.cometd.subscription import is_due


class Holding:
    """Waits for whatever ends a long poll."""

    def __init__(self, node: Node, admission: Admission) -> None:
        self._node = node
        self._admission = admission

    async def hold(self, exchange: Exchange, session: Session, message: JsonObject, number: int) -> None:
        """Return when the connect must be answered: for events, a fault, an end, or time.

        Raises `Superseded` when a later connect of the session has come.
        """
        seconds = self._seconds(message)
        if seconds <= 0:
            return
        session.held_connect = number
        try:
            async with self._node.clock.timeout(seconds):
                while not self._is_over(exchange, session, number):
                    session.woken.clear()
                    await session.woken.wait()
                await self._node.clock.sleep(self._node.limits.coalesce_s)
        except TimeoutError:
            pass  # An idle connect is answered with nothing: the client asks again.
        finally:
            if session.held_connect == number:
                session.held_connect = None
        if session.connects != number:
            raise Superseded

    def _is_over(self, exchange: Exchange, session: Session, number: int) -> bool:
        return (
            session.connects != number
            or session.state is not SessionState.OPEN
            or is_due(session.subscriptions, self._node.bus)
            or self._node.pending.ends_hold(occasion_of(exchange, CONNECT))
            or not self._admission.is_authorised(exchange)
        )

    def _seconds(self, message: JsonObject) -> float:
        advice = message.get("advice")
        asked = advice.get("timeout") if isinstance(advice, dict) else None
        if not isinstance(asked, int | float):
            return self._node.limits.hold_s
        return min(max(asked, 0) / 1000, self._node.limits.hold_s)
