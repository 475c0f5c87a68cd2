"""Long polling: a connect is held until the server has something to send."""

from streamer.sandbox.bayeux import CONNECT, JsonObject
from streamer.sandbox.cometd.http_exchange import HttpExchange
from streamer.sandbox.cometd.request_checks import RequestChecks, injection_point
from streamer.sandbox.cometd.session import CometdSession, SessionState, Superseded
from streamer.sandbox.cometd.sessions import ServerContext
from streamer.sandbox.cometd.subscription import is_due


class LongPoll:
    """Holds a session's connect."""

    def __init__(self, context: ServerContext, checks: RequestChecks) -> None:
        self._context = context
        self._checks = checks

    async def hold(
        self, exchange: HttpExchange, session: CometdSession, message: JsonObject, number: int
    ) -> None:
        """Return when the connect must be answered: after events, a fault, the session's end or a time-out.

        Raises `Superseded` when a later connect of the session has arrived.
        """
        seconds = self._seconds(message)
        if seconds <= 0:
            return
        session.held_connect = number
        try:
            async with self._context.clock.timeout(seconds):
                while not self._is_over(exchange, session, number):
                    session.woken.clear()
                    await session.woken.wait()
                await self._context.clock.sleep(self._context.limits.coalesce_s)
        except TimeoutError:
            pass  # An idle connect gets an answer without events, and the client sends the next connect.
        finally:
            if session.held_connect == number:
                session.held_connect = None
        if session.connects != number:
            raise Superseded

    def _is_over(self, exchange: HttpExchange, session: CometdSession, number: int) -> bool:
        return (
            session.connects != number
            or session.state is not SessionState.OPEN
            or is_due(session.subscriptions, self._context.bus)
            or self._context.armed.ends_hold(injection_point(exchange, CONNECT))
            or not self._checks.is_authorised(exchange)
        )

    def _seconds(self, message: JsonObject) -> float:
        advice = message.get("advice")
        asked = advice.get("timeout") if isinstance(advice, dict) else None
        if not isinstance(asked, int | float):
            return self._context.limits.hold_s
        return min(max(asked, 0) / 1000, self._context.limits.hold_s)
