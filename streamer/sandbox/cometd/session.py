"""One Bayeux session: a client that shook hands."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.sandbox.cometd.subscription import Subscription


class Superseded(Exception):
    """A later connect of the same client took the place of this one."""


class SessionState(Enum):
    """Whether a session lives, and what became of it otherwise."""

    OPEN = auto()
    DISCONNECTED = auto()
    FORGOTTEN = auto()


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What the server knows of a client between its requests.

    `idle_since` is on the monotonic clock. `connect` counts the connects: the
    one in progress is the latest, and `held_connect` while it waits for events.
    `answered` is set whenever an answer to a connect was sent.
    """

    client_id: str
    browser: str
    node: str
    version: float
    idle_since: float
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    connects: int = 0
    held_connect: int | None = None
    state: SessionState = SessionState.OPEN
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def held(self) -> bool:
        """Whether a connect waits for events."""
        return self.held_connect is not None

    def begin_connect(self) -> int:
        """Return the number of a new connect, which ends the one that is held."""
        self.connects += 1
        self.woken.set()
        return self.connects

    def end(self, state: SessionState) -> None:
        """Say what became of the session and let its held connect go."""
        self.state = state
        self.woken.set()
