"""Recovery of one channel's streams; all channels share the connection and the login."""

from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.errors import RetryLater
from streamer.events import Channel
from streamer.salesforce.auth.tokens import AccessToken, Tokens
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.sessions import STEADY_S, Reaction, RecoveryDelays, SessionObserver

_log = structlog.get_logger()


class Login:
    """Gets tokens. While Salesforce can't issue tokens, all callers wait for the same delay."""

    def __init__(self, tokens: Tokens, clock: Clock, delays: RecoveryDelays) -> None:
        self._tokens = tokens
        self._clock = clock
        self._delays = delays.login
        self._failure: RetryLater | None = None
        self._resumes_at = 0.0

    async def token(self, *, stale: AccessToken | None = None) -> AccessToken:
        """Return a token other than `stale`. Raises a `Stop` if an operator must act."""
        while True:
            while (left := self._resumes_at - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            try:
                token = await (self._tokens.token() if stale is None else self._tokens.refreshed(stale))
            except RetryLater as failure:
                self._postpone(failure)
            else:
                self._delays.reset()
                return token

    def _postpone(self, failure: RetryLater) -> None:
        # Concurrent callers share a login and its failure.
        if failure is self._failure:
            return
        self._failure = failure
        delay = max(failure.after_s or 0.0, self._delays.next_s())
        self._resumes_at = self._clock.monotonic() + delay
        _log.warning("session.delayed", reason=str(failure), tried_again_in_s=delay)


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubSession:
    """Connection and login that an org's channels share, with options and observer."""

    connection: PubSubConnection
    login: Login
    options: PubSubOptions
    clock: Clock
    observer: SessionObserver


@dataclass(slots=True, kw_only=True)
class StreamRecovery:
    """Token of one channel's current stream, and the delays between its streams.

    `overdue` counts the consecutive streams that received nothing in time.
    """

    session: PubSubSession
    delays: RecoveryDelays
    overdue: int = field(default=0, init=False)
    token: AccessToken | None = field(default=None, init=False)
    _stale: AccessToken | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)

    async def begin(self) -> AccessToken:
        """Return the token for a new stream. Raises a `Stop` if an operator must act."""
        token = await self.session.login.token(stale=self._stale)
        self.token, self._stale = token, None
        self._began = self.session.clock.monotonic()
        return token

    def admitted(self) -> None:
        """Reset all back-offs, because Salesforce has answered in a new stream."""
        self.overdue = 0
        self.delays.usual.reset()
        self.delays.admitted()
        self.session.connection.proved()

    async def wait(self, ended: CallEnded, channel: Channel) -> None:
        """Wait before the next stream, after the last stream has `ended`."""
        session = self.session
        session.observer.lost(ended.reason)
        if ended.reason == "overdue":
            self.overdue += 1
            session.observer.overdue()
        if ended.reaction is Reaction.RENEW_TOKEN:
            self._stale = self.token
        if session.clock.monotonic() - self._began >= STEADY_S:
            self.delays.usual.reset()
        delay = ended.after_s if ended.after_s is not None else self.delays.after(ended.reaction).next_s()
        log = _log.info if ended.reaction is Reaction.HANDSHAKE else _log.warning
        log(
            "session.lost",
            channel=str(channel),
            reason=ended.reason,
            detail=ended.detail,
            tried_again_in_s=delay,
        )
        await session.clock.sleep(delay)
