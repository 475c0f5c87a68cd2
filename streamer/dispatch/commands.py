"""Commands: what is to become of a lane after an attempt, as values."""

from dataclasses import dataclass

from streamer.events import EventId, Hold, Reject, Retry


@dataclass(frozen=True, slots=True)
class Settle:
    """The head needs no more deliveries; the next event of the lane gets its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHeadAside:
    """The head becomes a dead letter, for the `reason` that operators filter by."""

    failure: Retry | Reject
    reason: str


@dataclass(frozen=True, slots=True)
class SetLostAside:
    """The head was parked and the log does not hold it any more: its place becomes a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The log keeps the events of the lane until the next attempt, in `delay_s` seconds.

    With `awaits`, the head waits for the other parts of that event.
    """

    delay_s: float
    awaits: EventId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The lane waits in memory for `delay_s` seconds. With `awaits`, it waits for parts of that event."""

    delay_s: float
    awaits: EventId | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """The lane gets another turn, after those that are ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldBack:
    """The target gets no events while `hold` lasts, and the lane gets another turn."""

    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSubscriber:
    """The target gets no events until an operator resumes the subscriber; the lane gets another turn."""

    reason: str


Command = Settle | SetHeadAside | SetLostAside | Park | Wait | Requeue | HoldBack | PauseSubscriber

SETTLE = Settle()
SET_LOST_ASIDE = SetLostAside()
REQUEUE = Requeue()
ASK_AGAIN = Wait(delay_s=1.0)
"""The log was unavailable, so it is asked for the lane's events again."""
