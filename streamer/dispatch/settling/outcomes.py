"""Handling of outcomes: settles, parks, retries or sets aside an event after an attempt."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import structlog

from streamer.clock import Clock
from streamer.dispatch.admission.admission import Admission, LaneName, Ticket
from streamer.dispatch.chains.joining import Halves, Joining
from streamer.dispatch.delivery.attempts import Attempts, Tried
from streamer.dispatch.delivery.failures import Failures
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.lane import Lane, LaneState
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.progress.ledger import Ledger
from streamer.dispatch.progress.pending import Proof
from streamer.dispatch.redrive.redelivery import Redelivery
from streamer.events import (
    DeadLetter,
    Delivered,
    Disable,
    Entry,
    Hold,
    ParkedLane,
    Partition,
    Receipt,
    Reject,
    Retry,
    Skip,
    Stage,
)

_log = structlog.get_logger()

_ASK_AGAIN_S = 1.0
_LOST = "The log does not hold this parked event any more."
_LOST_HINT = "Find out who removed it from the log, and send it to the target by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeHandler:
    """Settles, parks and sets events aside, and schedules the next try of a lane.

    No method waits: the ledger holds each decision until the log has recorded
    it.
    """

    attempts: Attempts
    schedule: RetrySchedule
    lanes: Lanes
    ledger: Ledger
    delay_queue: DelayQueue
    admission: Admission
    failures: Failures
    redelivery: Redelivery
    joining: Joining
    clock: Clock

    def arrived(self, entry: Entry) -> None:
        """Queue an event that was read; behind a parked event of its lane it is parked too."""
        self.ledger.opened(entry)
        self.attempts.on_read(entry.event)
        if self.attempts.skips(entry.event):
            self.ledger.skip(entry, *self.attempts.forwarded(entry.event, None))
            return
        parked = self.lanes.put(entry)
        lane = self.lanes.lane_of(entry) if self.joining.upstream.joins else None
        if lane is not None and lane in self.delay_queue and self.joining.is_awaited(lane, entry):
            lane.due_at = self.clock.now()
            self.delay_queue.put(lane, 0.0)
        if parked:
            self.ledger.park(parked.change(joined=[entry]))

    def unjoined(self, lane: Lane, ticket: Ticket, halves: Halves) -> None:
        """Let `lane` wait for halves of its head that are missing, or set the head aside without them."""
        self.admission.forgone(ticket)
        if halves is Halves.OVERDUE and self.joining.upstream.repeats(lane.head.event):
            self._finish(lane, None)
        elif halves is Halves.OVERDUE:
            self._set_aside(lane, self.joining.failure(lane), reason="incomplete")
        elif (wait_s := self.joining.begin_wait(lane)) is None:
            self.park(lane, self.joining.left_s(lane))
        else:
            self.delay_queue.put(lane, wait_s)

    def tried(self, lane: Lane, ticket: Ticket, tried: Tried) -> None:
        """Handle the outcome of an attempt at the head of `lane`."""
        if lane.state is not LaneState.GONE and isinstance(tried.outcome, Delivered | Skip):
            self.attempts.ended(lane, tried.outcome)
        if lane.state is LaneState.OPEN:
            self._conclude(lane, ticket, tried)
            return
        self.admission.abandoned(ticket)
        # An attempt that outlived its partition counts for nothing: the next owner
        # repeats it. While the partition is handed over, a finished attempt counts.
        if lane.state is LaneState.LEAVING and isinstance(tried.outcome, Delivered | Skip):
            self._finish(lane, self.attempts.receipt(lane, tried))

    def restored(self, parked: Mapping[Partition, Sequence[ParkedLane]]) -> None:
        """Take over parked lanes, each with its stored due time."""
        now = self.clock.now()
        for partition, lanes in parked.items():
            for kept in lanes:
                lane = self.lanes.restore(partition, kept)
                self.delay_queue.put(lane, max(0.0, kept.setback.due_at - now))

    def recalled(self, lane: Lane, ticket: Ticket, entries: list[Entry] | None) -> bool:
        """Take the first events of a parked lane into memory; return whether its head can be tried.

        `None` means that the log was unavailable.
        """
        if entries and entries[0].offset == lane.head_offset:
            self.lanes.recalled(lane, _without_gap(lane, entries))
            return True
        self.admission.forgone(ticket)
        if entries is None:
            self.delay_queue.put(lane, _ASK_AGAIN_S)
        else:
            self._set_lost_aside(lane)
        return False

    def _set_lost_aside(self, lane: Lane) -> None:
        now, name, offset = self.clock.now(), self.attempts.name, lane.head_offset
        letter = DeadLetter(
            id=f"{lane.partition.topic}:{lane.partition.number}:{offset}:{name}",
            stage=Stage.DISPATCH,
            channel="",
            reason="parked_lost",
            error=_LOST,
            hint=_LOST_HINT,
            failed_at=now,
            first_failed_at=lane.first_failed_at or now,
            subscriber=name,
            attempts=lane.attempts,
            partition=lane.partition,
            offset=offset,
        )
        _log.error("event.lost", subscriber=name, lane=lane.name, offset=offset)
        self.attempts.observer.set_aside(letter)
        self._finish(lane, letter)

    def park(self, lane: Lane, delay_s: float) -> None:
        """Leave the events of `lane` to the log until it is tried again after `delay_s` seconds."""
        lane.due_at = self.clock.now() + delay_s
        absorbed = () if lane.is_parked else self.lanes.absorb(lane)
        self.ledger.park(lane.change(joined=self.lanes.park(lane)), absorbed)
        self.delay_queue.put(lane, delay_s)

    def park_waiting(self, partitions: frozenset[Partition]) -> None:
        """Park the lanes in memory that wait for another try, so that a crash keeps their attempt counts."""
        for lane in self.delay_queue.unparked:
            if lane.partition in partitions and lane.state is LaneState.OPEN:
                self.park(lane, self.delay_queue.left_s(lane))

    def park_failed(self, partitions: frozenset[Partition], in_flight: Collection[Lane]) -> None:
        """Park all lanes that have failed, except those being tried, so that the next owner knows of it.

        This includes lanes whose turn has come but which a pause or a hold
        keeps from being tried.
        """
        self.park_waiting(partitions)
        for lane in self.lanes.failed_in(partitions):
            if lane not in in_flight:
                self.park(lane, 0.0)

    def give_back(self, attempts: Mapping[LaneName, int]) -> None:
        """Subtract attempts that failed because the target was down."""
        for name, number in attempts.items():
            if lane := self.lanes.get(name):
                lane.give_back(number)
                if lane.is_parked:
                    self.ledger.alter(lane.change())

    def _conclude(self, lane: Lane, ticket: Ticket, tried: Tried) -> None:
        match tried.outcome:
            case Delivered():
                self.admission.succeeded(ticket, seconds=tried.seconds, share=tried.share)
                self.admission.delivered()
                self.redelivery.delivered(tried.entry)
                self._finish(lane, self.attempts.receipt(lane, tried))
                if self.failures.last is not None:
                    self.failures.worked(self.lanes.parked)
            case Skip(sent=sent):
                self._judged(ticket, tried, sent=sent)
                self._finish(lane, None)
            case Retry() as failure if tried.awaits_lookup:
                # It says nothing about the target.
                self.admission.forgone(ticket)
                self.failures.failed(tried.entry.event.id, failure, tried.trace_id)
                lane.waits(failure.reason)
                self._delay(lane, failure)
            case Retry() as failure:
                lane.failed(failure.reason, self.clock.now(), took_s=tried.seconds)
                self.failures.failed(tried.entry.event.id, failure, tried.trace_id)
                self.give_back(self.admission.failed(ticket, seconds=tried.seconds, share=tried.share))
                self._retry(lane, failure)
            case Reject() as failure:
                self._judged(ticket, tried, sent=failure.sent)
                lane.failed(failure.reason, self.clock.now())
                self._set_aside(lane, failure, reason="rejected")
            case Hold() as hold:
                self._held(ticket, tried, hold)
                self.lanes.make_ready(lane)
            case Disable(reason=reason):
                self.admission.disabled(ticket, reason)
                self.lanes.make_ready(lane)

    def _held(self, ticket: Ticket, tried: Tried, hold: Hold) -> None:
        if tried.awaits_lookup:
            self.admission.held_unasked(ticket, hold)
        else:
            self.admission.held(ticket, hold, seconds=tried.seconds)
        # A target that only asks for a pause does not fail.
        if hold.alert:
            self.failures.failed(tried.entry.event.id, hold)

    def _judged(self, ticket: Ticket, tried: Tried, *, sent: bool) -> None:
        """Note that the event is settled without a delivery; if it was sent, the target works."""
        if sent:
            self.admission.succeeded(ticket, seconds=tried.seconds, share=tried.share)
        else:
            self.admission.forgone(ticket)

    def _retry(self, lane: Lane, failure: Retry) -> None:
        if self.schedule.is_over(lane.attempts, lane.tried_s):
            self._set_aside(lane, failure, reason="retries_exhausted")
        else:
            self._delay(lane, failure)

    def _delay(self, lane: Lane, failure: Retry) -> None:
        attempts = max(1, lane.attempts)
        delay_s = self.schedule.delay_s(attempts, asked_s=failure.after_s)
        if lane.is_parked or not self.schedule.is_fast(attempts, delay_s):
            self.park(lane, delay_s)
        else:
            self.delay_queue.put(lane, delay_s)

    def _set_aside(self, lane: Lane, failure: Retry | Reject, *, reason: str) -> None:
        letter = self.attempts.dead_letter(lane, failure, reason=reason)
        self.admission.set_aside()
        self._finish(lane, letter)

    def _finish(self, lane: Lane, proof: DeadLetter | Receipt | None) -> None:
        """Settle the head; the next event of the lane, if any, gets its turn."""
        offset, entry = lane.head_offset, lane.head if lane.entries else None
        was_parked = lane.is_parked
        lane.due_at = self.clock.now()
        if lane.state is LaneState.OPEN:
            halves = self.lanes.absorb(lane)
            self.lanes.advance(lane)
        else:
            halves = lane.absorb()
            lane.advance()
        if entry is not None:
            lane.forget_places(entry.event.id, {offset, *(half.offset for half in halves)})
        proofs: list[Proof] = [] if proof is None else [proof]
        if entry is not None:
            proofs += self.attempts.forwarded(entry.event, proof)
        if was_parked:
            left = [offset, *(half.offset for half in halves)]
            self.ledger.alter(lane.change(left=left), *proofs)
        elif entry is not None:
            self.ledger.finish(entry, *proofs)
            for half in halves:
                self.ledger.skip(half)


def _without_gap(lane: Lane, entries: list[Entry]) -> list[Entry]:
    pairs = zip(lane.parked, entries, strict=False)
    return [entry for _, entry in takewhile(lambda pair: pair[0] == pair[1].offset, pairs)]
