"""Login that all channels on the Pub/Sub API share."""

import structlog

from streamer.clock import Clock
from streamer.errors import RetryLater
from streamer.salesforce.auth.tokens import AccessToken, Tokens
from streamer.salesforce.sessions import RecoveryDelays

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
