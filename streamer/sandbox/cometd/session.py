"""One Bayeux session."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.sandbox.cometd.subscription import ChannelSubscription


class Superseded(Exception):
    """A later connect of the same client replaced this one."""


class SessionState(Enum):
    """State of a session: open, disconnected by its client, or forgotten by the server."""

    OPEN = auto()
    DISCONNECTED = auto()
    FORGOTTEN = auto()


@dataclass(slots=True, kw_only=True, eq=False)
class CometdSession:
    """The server's state for a client between the client's requests.

    `idle_since` is in seconds of the monotonic clock. `connects` counts the connects,
    so it is the number of the latest connect. While that connect waits for events,
    `held_connect` has its number. `answered` is set whenever a connect was answered.
    """

    client_id: str
    browser: str
    node: str
    version: float
    idle_since: float
    subscriptions: dict[str, ChannelSubscription] = field(default_factory=dict)
    connects: int = 0
    held_connect: int | None = None
    state: SessionState = SessionState.OPEN
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def held(self) -> bool:
        """True while a connect waits for events."""
        return self.held_connect is not None

    def begin_connect(self) -> int:
        """Return the number of a new connect; a held connect ends."""
        self.connects += 1
        self.woken.set()
        return self.connects

    def end(self, state: SessionState) -> None:
        """Set the final state, and release the held connect."""
        self.state = state
        self.woken.set()
