"""Commands, as values: what to do with a lane after an attempt."""

from dataclasses import dataclass

from streamer.events import EventId, Hold, Reject, Retry


@dataclass(frozen=True, slots=True)
class Settle:
    """Command: settle the head, so that the next event of the lane gets its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHeadAside:
    """Command: make the head a dead letter; operators can filter by `reason`."""

    failure: Retry | Reject
    reason: str


@dataclass(frozen=True, slots=True)
class SetLostAside:
    """Command: make a dead letter for a parked head that the log no longer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Command: park the lane's events in the log until the next attempt, in `delay_s` seconds.

    With `awaits`, the head waits for the other halves of this event.
    """

    delay_s: float
    awaits: EventId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Command: let the lane wait in memory for `delay_s` seconds.

    With `awaits`, the head waits for the other halves of this event.
    """

    delay_s: float
    awaits: EventId | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Command: give the lane another turn, after the lanes that are ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldBack:
    """Command: send the target no events while `hold` lasts, and give the lane another turn."""

    hold: Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseSubscriber:
    """Command: pause the subscriber until an operator resumes it, and give the lane another turn."""

    reason: str


Command = Settle | SetHeadAside | SetLostAside | Park | Wait | Requeue | HoldBack | PauseSubscriber

SETTLE = Settle()
SET_LOST_ASIDE = SetLostAside()
REQUEUE = Requeue()
ASK_AGAIN = Wait(delay_s=1.0)
"""The log was unavailable, so the lane waits a second, and its events are then recalled again."""
