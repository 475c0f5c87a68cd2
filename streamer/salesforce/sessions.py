"""Sessions with Salesforce: reactions to refusals, the delays before the next try, and an observer."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from streamer.backoff import Backoff, Delays, full_jitter

STEADY_S = 10.0
"""If a session has lasted this long, its loss counts as a new failure, and the back-off starts over."""


class Reaction(Enum):
    """Required reaction to a refusal."""

    TRY_AGAIN = auto()
    """The cause is unknown: begin again, with back-off."""
    HANDSHAKE = auto()
    """The server does not know the session, or has ended it: begin a new session with the same token."""
    RENEW_TOKEN = auto()
    """The token has expired: get a new token, then begin a new session."""
    LEAVE_ALONE = auto()
    """The server is too busy or has too many clients: try again after some minutes."""
    WAIT_FOR_ALLOWANCE = auto()
    """The org's daily event allowance is used up: wait until its rolling 24 hours have passed."""
    REFUSE_REPLAY_ID = auto()
    """Salesforce no longer knows the position of one channel: the channel's owner decides."""
    REFUSE_CHANNEL = auto()
    """One channel cannot be read until an operator acts."""
    RETRY_CHANNEL = auto()
    """The refusal can also come from a lost session: only a repeated refusal is believed."""
    GIVE_UP = auto()
    """The server will never accept a session with this configuration."""


class RecoveryDelays:
    """Delays before the next try, with one series for each kind of cause.

    Most causes disappear at once, so each series begins with a second. If the
    daily allowance is used up, the second delay lasts minutes.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` returns numbers in [0, 1) for the jitter."""
        jitter = full_jitter(random)
        self.usual = Delays(Backoff(first_s=1.0, limit_s=60.0, jitter=jitter))
        self.login = Delays(Backoff(first_s=1.0, limit_s=60.0, jitter=jitter))
        self._busy = Delays(Backoff(first_s=1.0, limit_s=300.0, jitter=jitter))
        self._allowance = Delays(Backoff(first_s=1.0, factor=900.0, limit_s=3600.0, jitter=jitter))

    def after(self, reaction: Reaction) -> Delays:
        """Return the series of delays for `reaction`."""
        match reaction:
            case Reaction.LEAVE_ALONE:
                return self._busy
            case Reaction.WAIT_FOR_ALLOWANCE:
                return self._allowance
            case _:
                return self.usual

    def admitted(self) -> None:
        """Start these series again, because Salesforce has accepted a request."""
        self.login.reset()
        self._busy.reset()
        self._allowance.reset()


class SessionObserver(Protocol):
    """Counts and measures session events. Its methods must not block or raise."""

    def handshaken(self) -> None:
        """A new session has begun."""
        ...

    def answered(self, events: int, size: int) -> None:
        """An answer with `events` events and `size` bytes was read completely."""
        ...

    def lost(self, reason: str) -> None:
        """A session ended; `reason` is one of a few stable words."""
        ...

    def overdue(self) -> None:
        """Salesforce did not answer in time, and the connection was closed."""
        ...

    def subscribed(self, path: str) -> None:
        """Salesforce accepted the subscription of a channel."""
        ...

    def refused(self, path: str, error: str) -> None:
        """Salesforce refused the subscription of a channel."""
        ...


class NullObserver:
    """Ignores every event."""

    def handshaken(self) -> None:
        """Do nothing."""

    def answered(self, events: int, size: int) -> None:
        """Do nothing."""

    def lost(self, reason: str) -> None:
        """Do nothing."""

    def overdue(self) -> None:
        """Do nothing."""

    def subscribed(self, path: str) -> None:
        """Do nothing."""

    def refused(self, path: str, error: str) -> None:
        """Do nothing."""
