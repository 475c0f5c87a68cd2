"""Sessions of signed-in operators: ids that a browser keeps instead of the token."""

import hashlib
import secrets
from dataclasses import dataclass, field

from streamer.clock import Clock

MOST_SESSIONS = 64
"""Most sessions at a time; another one ends that which was used longest ago."""

_ID_BYTES = 32


@dataclass(slots=True, kw_only=True)
class ConsoleSession:
    """Session of `operator`, whose forms hold the `csrf` token; times are monotonic seconds."""

    operator: str
    can_change: bool
    csrf: str
    ends_at: float
    used_at: float


@dataclass(slots=True, kw_only=True)
class ConsoleSessions:
    """Sessions of this process, each for at most `lifetime_s`.

    Only digests of the ids are kept, so the time of a search tells nothing of
    an id. A restart ends all sessions.
    """

    clock: Clock
    lifetime_s: float
    _by_digest: dict[bytes, ConsoleSession] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._by_digest)

    def begin(self, operator: str, *, can_change: bool = True) -> str:
        """Begin a session and return its id; one that can't change only reads."""
        now = self.clock.monotonic()
        self._end_expired(now)
        while len(self._by_digest) >= MOST_SESSIONS:
            del self._by_digest[min(self._by_digest, key=lambda each: self._by_digest[each].used_at)]
        id_ = secrets.token_urlsafe(_ID_BYTES)
        self._by_digest[_digest(id_)] = ConsoleSession(
            operator=operator,
            can_change=can_change,
            csrf=secrets.token_urlsafe(_ID_BYTES),
            ends_at=now + self.lifetime_s,
            used_at=now,
        )
        return id_

    def find(self, id_: str) -> ConsoleSession | None:
        """Return the session of an id, `None` when there is none or it has expired."""
        now = self.clock.monotonic()
        self._end_expired(now)
        session = self._by_digest.get(_digest(id_))
        if session is not None:
            session.used_at = now
        return session

    def end(self, id_: str) -> None:
        """End the session of an id, if there is one."""
        self._by_digest.pop(_digest(id_), None)

    def _end_expired(self, now: float) -> None:
        for digest in [digest for digest, each in self._by_digest.items() if each.ends_at <= now]:
            del self._by_digest[digest]


def _digest(id_: str) -> bytes:
    return hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()
