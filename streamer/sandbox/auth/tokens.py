"""Access tokens of the org, and the sessions that they open."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from streamer.clock import Clock

IDLE_S = 2 * 3600.0
"""Seconds after which an unused session ends (SOAP API guide, session expiration)."""

ACCESS_SCOPE = "api"
REFRESH_SCOPE = "refresh_token api"

_SCHEMES = ("bearer ", "oauth ")


@dataclass(slots=True, kw_only=True)
class TokenSession:
    """The user and client of a token, its scope, and its times.

    `issued_at` is in epoch seconds, and `used_at` in the clock's monotonic seconds.
    `refresh_token` is the refresh token that opened the session, if any.
    """

    user_id: str
    client_id: str
    scope: str
    issued_at: float
    used_at: float
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """The user, client and scope of the sessions that a refresh token opens.

    `issued_at` is in epoch seconds. The token `is_public` if a client got it by PKCE,
    without a secret; such a client needs no secret to use the token.
    """

    user_id: str
    client_id: str
    scope: str
    issued_at: float
    is_public: bool = False


class TokenIssuer:
    """Issues access tokens and checks them.

    A session ends two hours after its last use, or when it is revoked. A revoked
    refresh token opens no more sessions, and the sessions that it has opened end.
    """

    def __init__(self, clock: Clock, *, org_id: str) -> None:
        """Start with no sessions; new tokens begin with `org_id`, as Salesforce's do."""
        self._clock = clock
        self.org_id = org_id
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._sessions: dict[str, TokenSession] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each revocation."""
        self._listeners.append(listener)

    def __len__(self) -> int:
        """Return the number of valid sessions."""
        self._drop_idle()
        return len(self._sessions)

    def issue_refresh_token(
        self,
        *,
        user_id: str,
        client_id: str,
        scope: str = REFRESH_SCOPE,
        token: str | None = None,
        is_public: bool = False,
    ) -> str:
        """Return a new refresh token; with `token`, return `token` as a refresh token."""
        issued = token or f"5Aep{secrets.token_urlsafe(60)}"
        self._refresh_tokens[issued] = RefreshToken(
            user_id=user_id,
            client_id=client_id,
            scope=scope,
            issued_at=self._clock.now(),
            is_public=is_public,
        )
        return issued

    def refresh_token(self, token: str) -> RefreshToken | None:
        """Return the user, client and scope of a refresh token; `None` if the token is unknown or revoked."""
        return self._refresh_tokens.get(token)

    def issue(
        self, *, user_id: str, client_id: str, scope: str = ACCESS_SCOPE, refresh_token: str | None = None
    ) -> str:
        """Return a new access token, which ends with the `refresh_token` that opens it."""
        self._drop_idle()
        token = f"{self.org_id[:15]}!AQ{secrets.token_urlsafe(60)}"
        session = TokenSession(
            user_id=user_id,
            client_id=client_id,
            scope=scope,
            issued_at=self._clock.now(),
            used_at=self._clock.monotonic(),
            refresh_token=refresh_token,
        )
        self._sessions[token] = session
        return token

    def session(self, authorization: str | None) -> TokenSession | None:
        """Return the session for the value of an Authorization header; this counts as a use of the session.

        As in Salesforce, `Bearer` or `OAuth` can precede the token.
        """
        token = (authorization or "").strip()
        for scheme in _SCHEMES:
            if token.lower().startswith(scheme):
                token = token[len(scheme) :].strip()
        session = self._sessions.get(token)
        if session is None or self._is_idle(session):
            self._sessions.pop(token, None)
            return None
        session.used_at = self._clock.monotonic()
        return session

    def valid(self, authorization: str | None) -> bool:
        """Return whether the value of an Authorization header opens a session.

        This counts as a use of the session.
        """
        return self.session(authorization) is not None

    def look_up(self, token: str) -> tuple[TokenSession, float] | None:
        """Return the session of a token, and the session's end in epoch seconds.

        This does not count as a use.
        """
        self._drop_idle()
        session = self._sessions.get(token)
        if session is None:
            return None
        idle_s = self._clock.monotonic() - session.used_at
        return session, self._clock.now() + IDLE_S - idle_s

    def revoke(self, token: str) -> bool:
        """End the session of an access token, or all sessions of a refresh token.

        Return whether the token was known.
        """
        known = self._sessions.pop(token, None) is not None
        if self._refresh_tokens.pop(token, None) is not None:
            known = True
            opened = [key for key, each in self._sessions.items() if each.refresh_token == token]
            for key in opened:
                del self._sessions[key]
        self._notify_listeners()
        return known

    def revoke_all(self) -> int:
        """End all sessions and return their number."""
        count = len(self._sessions)
        self._sessions.clear()
        self._notify_listeners()
        return count

    def _is_idle(self, session: TokenSession) -> bool:
        return self._clock.monotonic() - session.used_at > IDLE_S

    def _notify_listeners(self) -> None:
        for listener in self._listeners:
            listener()

    def _drop_idle(self) -> None:
        live = {token: each for token, each in self._sessions.items() if not self._is_idle(each)}
        self._sessions = live
