"""All Bayeux sessions of the server, and the context that its parts share."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.sandbox.cometd.cookies import Cookies
from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.session import CometdSession, SessionState
from streamer.sandbox.faults.armed import ArmedFaults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.usage import OrgUsage


class CometdSessions:
    """Opens, finds and ends sessions.

    A session without a connect for `reconnect_s` seconds ends, with its subscriptions
    (Streaming API guide, clients and timeouts). Every look-up first removes such
    sessions.
    """

    def __init__(self, clock: Clock, limits: CometdLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._sessions: dict[str, CometdSession] = {}

    def __len__(self) -> int:
        self._expire_idle()
        return len(self._sessions)

    def __iter__(self) -> Iterator[CometdSession]:
        """Iterate over a copy, so that sessions can end meanwhile."""
        self._expire_idle()
        return iter(tuple(self._sessions.values()))

    @property
    def is_full(self) -> bool:
        """True when the org's limit of concurrent clients is reached."""
        return len(self) >= self._limits.clients

    def open(self, cookies: Cookies, version: float) -> CometdSession:
        """Start a session bound to these cookies."""
        session = CometdSession(
            client_id=secrets.token_hex(14),
            browser=cookies.browser,
            node=cookies.node,
            version=version,
            idle_since=self._clock.monotonic(),
        )
        self._sessions[session.client_id] = session
        return session

    def find(self, client_id: object) -> CometdSession | None:
        """Return the live session with this id, or `None`."""
        self._expire_idle()
        return self._sessions.get(client_id) if isinstance(client_id, str) else None

    def end(self, session: CometdSession, state: SessionState = SessionState.FORGOTTEN) -> None:
        """Drop a session and release its held connect."""
        self._sessions.pop(session.client_id, None)
        session.end(state)

    def touch(self, session: CometdSession) -> None:
        """Restart the time within which the session's client must connect again."""
        session.idle_since = self._clock.monotonic()

    def shares_browser(self, session: CometdSession) -> bool:
        """Return whether another session of the same browser holds a connect."""
        return any(
            other.held and other.browser == session.browser and other is not session
            for other in self._sessions.values()
        )

    def _expire_idle(self) -> None:
        latest = self._clock.monotonic() - self._limits.reconnect_s
        expired = [s for s in self._sessions.values() if not s.held and s.idle_since < latest]
        for session in expired:
            self.end(session)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerContext:
    """Dependencies that all parts of one CometD server share."""

    bus: EventBus
    clock: Clock
    armed: ArmedFaults
    limits: CometdLimits
    sessions: CometdSessions
    usage: OrgUsage
