"""Reactions to refusals of Salesforce, and the delays before the next try."""

from collections.abc import Callable
from enum import Enum, auto

from streamer.backoff import Backoff, Delays, full_jitter

STEADY_S = 10.0
"""A session that lasted so long was not ended by what had ended the one before."""


class Reaction(Enum):
    """Required reaction to a refusal."""

    TRY_AGAIN = auto()
    """The cause is unknown: begin again, with back-off."""
    HANDSHAKE = auto()
    """The server does not know our session, or has ended it: begin a new one, with the same token."""
    RENEW_TOKEN = auto()
    """The token has expired: get another one, then begin a new session."""
    LEAVE_ALONE = auto()
    """The server is too busy or has too many clients: return after minutes."""
    WAIT_FOR_ALLOWANCE = auto()
    """The daily event allowance of the org is used up: wait for its rolling 24 hours to pass."""
    REFUSE_REPLAY_ID = auto()
    """The position of one channel is no longer known: its owner decides."""
    REFUSE_CHANNEL = auto()
    """One channel cannot be read until an operator acts."""
    RETRY_CHANNEL = auto()
    """One channel is refused in a way that a lost session causes too: believe it when it lasts."""
    GIVE_UP = auto()
    """The server will never accept a session with this configuration."""


class RecoveryDelays:
    """Delays before the next try, one series for each kind of cause.

    Most causes are gone at once, so each series begins with a second. While the
    allowance is used up, the second try comes after minutes.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        """Draw the jitter from `random`, which gives numbers in [0, 1)."""
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
        """Start over after an answer that shows that Salesforce has admitted us."""
        self.login.reset()
        self._busy.reset()
        self._allowance.reset()
