"""Decisions about an attempt: what it says about the target, and what is to become of its lane."""

from enum import Enum, auto

from streamer.dispatch.commands import SETTLE, Command, HoldBack, Park, PauseSubscriber, SetHeadAside, Wait
from streamer.dispatch.delivery.attempts import AttemptResult
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.lanes.lane import Lane
from streamer.events import Delivered, Disable, Hold, Reject, Retry, Skip


class TargetSign(Enum):
    """Evidence of one attempt about its target."""

    WORKS = auto()
    """It answered, even if it rejected the event."""
    FAILS = auto()
    """It gave no answer, or not the one that it should give."""
    OVERLOADED = auto()
    """It asks for a pause."""
    NOTHING = auto()
    """It was sent a request, but its answer says nothing about how it works."""
    NOT_ASKED = auto()
    """It was sent no request."""


def sign_of(tried: AttemptResult) -> TargetSign:
    """Return what an attempt shows about the target."""
    if tried.awaits_lookup:
        return TargetSign.NOT_ASKED
    match tried.outcome:
        case Delivered():
            return TargetSign.WORKS
        case Skip(sent=sent) | Reject(sent=sent):
            return TargetSign.WORKS if sent else TargetSign.NOT_ASKED
        case Retry():
            return TargetSign.FAILS
        case Hold():
            return TargetSign.OVERLOADED
        case Disable():
            return TargetSign.NOTHING


def command_of(tried: AttemptResult, lane: Lane, schedule: RetrySchedule) -> Command:
    """Return what is to become of `lane`, whose head has ended an attempt.

    The attempt is counted already, unless an outage of the target excuses it.
    """
    match tried.outcome:
        case Delivered() | Skip():
            return SETTLE
        case Reject() as failure:
            return SetHeadAside(failure=failure, reason="rejected")
        case Retry() as failure if tried.awaits_lookup or not schedule.is_over(lane.attempts, lane.tried_s):
            return _later(lane, failure, schedule)
        case Retry() as failure:
            return SetHeadAside(failure=failure, reason="retries_exhausted")
        case Hold() as hold:
            return HoldBack(hold=hold)
        case Disable(reason=reason):
            return PauseSubscriber(reason=reason)


def _later(lane: Lane, failure: Retry, schedule: RetrySchedule) -> Park | Wait:
    attempts = max(1, lane.attempts)
    delay_s = schedule.delay_s(attempts, asked_s=failure.after_s)
    if lane.is_parked or not schedule.is_fast(attempts, delay_s):
        return Park(delay_s=delay_s)
    return Wait(delay_s=delay_s)
