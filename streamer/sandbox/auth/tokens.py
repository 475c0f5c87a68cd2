"""Access tokens of the org, and the sessions that they open."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from streamer.clock import Clock

IDLE_S = 2 * 3600.0
"""Seconds that a session lives without being used (SOAP API guide, session expiration)."""

ACCESS_SCOPE = "api"
REFRESH_SCOPE = "refresh_token api"

_SCHEMES = ("bearer ", "oauth ")


@dataclass(slots=True, kw_only=True)
class TokenSession:
    """The user and client of a token, its scope, and its times.

    `issued_at` is in epoch seconds, and `used_at` in the clock's monotonic
    seconds. `refresh_token` is the one that opened it, if any.
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

    `issued_at` is in epoch seconds. It `is_public` where a client got it without
    a secret, by PKCE; such a client needs none to use it.
    """

    user_id: str
    client_id: str
    scope: str
    issued_at: float
    is_public: bool = False


class TokenIssuer:
    """Issues access tokens and checks them.

    A session ends after two hours without use, or when it is revoked; each use
    prolongs it. Revoking a refresh token ends the sessions that it has opened,
    and it opens no others.
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
        """Return a new refresh token, or `token` as one."""
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
        """Return what a refresh token opens, `None` for an unknown or revoked one."""
        return self._refresh_tokens.get(token)

    def issue(
        self, *, user_id: str, client_id: str, scope: str = ACCESS_SCOPE, refresh_token: str | None = None
    ) -> str:
        """Return a new access token, which lives no longer than the `refresh_token` that opens it."""
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
        """Return the session that an Authorization header's value opens, and count it as used.

        The token can follow `Bearer`, `OAuth`, or nothing, as in Salesforce.
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
        """Return whether an Authorization header's value opens a session, and count it as used."""
        return self.session(authorization) is not None

    def look_up(self, token: str) -> tuple[TokenSession, float] | None:
        """Return the session of a token and the epoch seconds of its end, without counting it as used."""
        self._drop_idle()
        session = self._sessions.get(token)
        if session is None:
            return None
        idle_s = self._clock.monotonic() - session.used_at
        return session, self._clock.now() + IDLE_S - idle_s

    def revoke(self, token: str) -> bool:
        """End the session of an access token, or those of a refresh token; return whether it was known."""
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
