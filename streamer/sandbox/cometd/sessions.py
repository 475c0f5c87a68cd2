"""All Bayeux sessions of the server, and who may still use them."""

import secrets
from collections.abc import Iterator

from streamer.clock import Clock
from streamer.sandbox.cometd.cookies import Cookies
from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.session import Session, SessionState


class Sessions:
    """Opens, finds and forgets sessions.

    A session that has had no connect for `reconnect_s` is gone with its
    subscriptions (Streaming API guide, clients and timeouts); that is noticed
    when anyone looks.
    """

    def __init__(self, clock: Clock, limits: CometdLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        """Return how many sessions are alive."""
        self._reap()
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        """Iterate over a copy, so that sessions may end meanwhile."""
        self._reap()
        return iter(tuple(self._sessions.values()))

    @property
    def full(self) -> bool:
        """Whether the org's limit of concurrent clients is reached."""
        return len(self) >= self._limits.clients

    def open(self, cookies: Cookies, version: float) -> Session:
        """Start a session bound to these cookies."""
        session = Session(
            client_id=secrets.token_hex(14),
            browser=cookies.browser,
            node=cookies.node,
            version=version,
            idle_since=self._clock.monotonic(),
        )
        self._sessions[session.client_id] = session
        return session

    def find(self, client_id: object) -> Session | None:
        """Return the live session of that id."""
        self._reap()
        return self._sessions.get(client_id) if isinstance(client_id, str) else None

    def end(self, session: Session, state: SessionState = SessionState.FORGOTTEN) -> None:
        """Drop a session; its held connect is let go."""
        self._sessions.pop(session.client_id, None)
        session.end(state)

    def touch(self, session: Session) -> None:
        """Begin the session's time to reconnect anew."""
        session.idle_since = self._clock.monotonic()

    def shares_browser(self, session: Session) -> bool:
        """Tell whether another session of the same browser holds a connect."""
        return any(
            other.held and other.browser == session.browser and other is not session
            for other in self._sessions.values()
        )

    def _reap(self) -> None:
        latest = self._clock.monotonic() - self._limits.reconnect_s
        expired = [s for s in self._sessions.values() if not s.held and s.idle_since < latest]
        for session in expired:
            self.end(session)
