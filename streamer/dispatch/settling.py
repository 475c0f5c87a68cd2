"""Settling: turns the result of an attempt into a command for its lane, and carries out the command."""

from dataclasses import dataclass
from enum import Enum, auto

import structlog

from streamer.dispatch.admission.admission import Admission, Ticket
from streamer.dispatch.commands import (
    SETTLE,
    Command,
    HoldBack,
    Park,
    PauseSubscriber,
    Requeue,
    SetHeadAside,
    SetLostAside,
    Settle,
    Wait,
)
from streamer.dispatch.delivery.attempts import AttemptResult, Attempts
from streamer.dispatch.delivery.foreign_values import answer_beyond
from streamer.dispatch.delivery.retry_schedule import Failures, RetrySchedule
from streamer.dispatch.lanes.lanes import Lane, LaneState
from streamer.dispatch.partition_progress import Proof
from streamer.dispatch.redrive import Redelivery
from streamer.dispatch.state import DispatchState
from streamer.events import (
    DeadLetter,
    Delivered,
    Disable,
    FailedAttempt,
    Hold,
    Receipt,
    Reject,
    Retry,
    Skip,
    Stage,
)

_log = structlog.get_logger()


class TargetSign(Enum):
    """Evidence of one attempt about its target."""

    WORKS = auto()
    """The target answered, even if it rejected the event."""
    FAILS = auto()
    """The target gave no answer, or a wrong answer."""
    OVERLOADED = auto()
    """The target asks for a pause."""
    NOTHING = auto()
    """A request was sent, but the answer does not show whether the target works."""
    NOT_ASKED = auto()
    """No request was sent."""


def sign_of(tried: AttemptResult) -> TargetSign:
    """Return the evidence of an attempt about the target."""
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
    """Return the command for `lane` after an attempt at its head.

    The caller must have counted the attempt already, unless an outage of the target
    excuses the attempt.
    """
    match tried.outcome:
        case Delivered() | Skip():
            return SETTLE
        case Reject() as failure:
            return SetHeadAside(failure=failure, reason="rejected")
        case Retry() as failure if tried.awaits_lookup or not schedule.is_over(
            lane.retries.attempts, lane.retries.tried_s
        ):
            return _later(lane, failure, schedule)
        case Retry() as failure:
            return SetHeadAside(failure=failure, reason="retries_exhausted")
        case Hold() as hold:
            return HoldBack(hold=hold)
        case Disable(reason=reason):
            return PauseSubscriber(reason=reason)


def _later(lane: Lane, failure: Retry, schedule: RetrySchedule) -> Park | Wait:
    attempts = max(1, lane.retries.attempts)
    delay_s = schedule.delay_s(attempts, asked_s=failure.after_s)
    if lane.is_parked or not schedule.is_fast(attempts, delay_s):
        return Park(delay_s=delay_s)
    return Wait(delay_s=delay_s)


_LOST = "The log no longer has this parked event."
_LOST_HINT = "Find out what removed the event from the log, and send the event to the target by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """Applies the result of an attempt to the lanes, the ledger, the admission and the failures.

    No method waits: the ledger keeps each change until the log has recorded it.
    """

    state: DispatchState
    attempts: Attempts
    schedule: RetrySchedule
    admission: Admission
    failures: Failures
    redelivery: Redelivery

    def ended(self, lane: Lane, ticket: Ticket, ending: AttemptResult | Command) -> None:
        """Handle the end of an attempt at the head of `lane`.

        If `ending` is a command, there was no attempt.
        """
        if isinstance(ending, AttemptResult):
            self._tried(lane, ticket, ending)
            return
        self.admission.not_sent(ticket)
        if lane.state is LaneState.OPEN:
            self._apply(lane, ending)

    def landed(self, lane: Lane) -> None:
        """Let redriven events join `lane`; its attempt must have ended."""
        if lane in self.redelivery.waiting:
            self.redelivery.attempt_ended(lane)
        self.state.moved()

    def _tried(self, lane: Lane, ticket: Ticket, tried: AttemptResult) -> None:
        if lane.state is LaneState.OPEN:
            self._count(lane, tried)
            self._judge(ticket, tried)
            self._apply(lane, command_of(tried, lane, self.schedule), tried)
            return
        self.admission.abandoned(ticket)
        # The result of an attempt that ends after its partition was lost is ignored, and the
        # next owner repeats the delivery. If an attempt delivers or skips the event during the
        # handover of the partition, the result is recorded.
        if lane.state is LaneState.LEAVING and isinstance(tried.outcome, Delivered | Skip):
            self.attempts.ended(lane, tried.outcome)
            self._finish(lane, self.attempts.receipt(lane, tried))

    def _count(self, lane: Lane, tried: AttemptResult) -> None:
        """Count a failure for the head and for the target."""
        if type(tried.outcome) is Delivered:
            return
        retries, texts = lane.retries, self.state.lanes.texts
        match tried.outcome:
            case Retry() as failure:
                if tried.awaits_lookup:
                    retries.last_error = failure.reason
                else:
                    retries.failed(self._attempt(failure, tried), failure.reason, texts)
                self.failures.failed(
                    tried.entry.event.id, failure, tried.trace_id, fails_since=retries.fails_since
                )
            case Reject() as failure:
                retries.failed(self._attempt(failure, tried), failure.reason, texts)
            case Hold() as hold:
                if not tried.awaits_lookup:
                    retries.noted(self._attempt(hold, tried), texts)
                # A request for a pause alone is not counted as a failure.
                if hold.alert:
                    self.failures.failed(tried.entry.event.id, hold, fails_since=retries.fails_since)

    def _attempt(self, failure: Retry | Reject | Hold, tried: AttemptResult) -> FailedAttempt:
        return FailedAttempt(
            at=self.state.clock.now(),
            seconds=tried.seconds,
            failure=failure.failure,
            error=failure.reason,
            answer=answer_beyond(failure.reason, failure.answer),
            exchange=failure.exchange,
        )

    def _judge(self, ticket: Ticket, tried: AttemptResult) -> None:
        """Report the evidence to `admission`, and give back the attempts that an outage excuses."""
        match sign_of(tried):
            case TargetSign.WORKS:
                self.admission.succeeded(ticket, seconds=tried.seconds, share=tried.share)
                if self.failures.is_unproven and not self.admission.probes:
                    self.failures.answered()
            case TargetSign.FAILS:
                excused = self.admission.failed(ticket, seconds=tried.seconds, share=tried.share)
                self.state.give_back(excused)
            case TargetSign.OVERLOADED:
                self.admission.overloaded(ticket, seconds=tried.seconds)
            case TargetSign.NOTHING:
                self.admission.abandoned(ticket)
            case TargetSign.NOT_ASKED:
                self.admission.not_sent(ticket)

    def _apply(self, lane: Lane, command: Command, tried: AttemptResult | None = None) -> None:
        match command:
            case Settle():
                self._settle(lane, tried)
            case SetHeadAside(failure=failure, reason=reason):
                letter = self.attempts.dead_letter(lane, failure, reason=reason)
                self.admission.set_aside()
                self._give_up(lane, letter)
            case SetLostAside():
                self._give_up(lane, self._lost_letter(lane))
            case Park(delay_s=delay_s, awaits=awaits):
                lane.halves.awaited = awaits or lane.halves.awaited
                self.state.park(lane, delay_s)
            case Wait(delay_s=delay_s, awaits=awaits):
                lane.halves.awaited = awaits or lane.halves.awaited
                self.state.delay_queue.put(lane, delay_s)
            case Requeue():
                self.state.lanes.make_ready(lane)
            case HoldBack(hold=hold):
                self.admission.hold(hold)
                self.state.lanes.make_ready(lane)
            case PauseSubscriber(reason=reason):
                self.admission.pause_by_target(reason)
                self.state.lanes.make_ready(lane)

    def _give_up(self, lane: Lane, letter: DeadLetter) -> None:
        self._finish(lane, letter)
        if not self.state.has_undelivered:
            self.failures.gave_up()

    def _settle(self, lane: Lane, tried: AttemptResult | None) -> None:
        if tried is None:
            self._finish(lane, None)
            return
        self.attempts.ended(lane, tried.outcome)
        if not isinstance(tried.outcome, Delivered):
            self._finish(lane, None)
            return
        self.admission.holds.guard.delivered()
        if self.state.latest.watched:
            self.state.latest.note(tried.entry)
        self._finish(lane, self.attempts.receipt(lane, tried))
        if self.failures.last is not None:
            self.failures.worked(self.state.lanes.parked)

    def _finish(self, lane: Lane, proof: DeadLetter | Receipt | None) -> None:
        proofs: list[Proof] = [] if proof is None else [proof]
        if lane.entries:
            proofs += self.attempts.forwarded(lane.head.event, proof)
        self.state.settle(lane, *proofs)

    def _lost_letter(self, lane: Lane) -> DeadLetter:
        now, name, offset = self.state.clock.now(), self.attempts.plugin.name, lane.head_offset
        letter = DeadLetter(
            id=f"{lane.partition.topic}:{lane.partition.number}:{offset}:{name}",
            stage=Stage.DISPATCH,
            channel="",
            reason="parked_lost",
            error=_LOST,
            hint=_LOST_HINT,
            failed_at=now,
            first_failed_at=lane.retries.first_failed_at or now,
            subscriber=name,
            attempts=lane.retries.attempts,
            partition=lane.partition,
            offset=offset,
        )
        _log.error("event.lost", subscriber=name, lane=lane.name, offset=offset)
        self.attempts.observer.set_aside(letter)
        return letter
