"""Steps of an event's timeline at one subscriber: attempts, receipts, dead letters, pauses and redrives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamer.admin.events.accounts import Evidence
from streamer.controls import AuditRecord
from streamer.events import AttemptExchange, DeadLetter, FailedAttempt, ParkedLane, Receipt, SubscriberName
from streamer.exact_json import exact_json

_SALESFORCE = "salesforce"
_PAUSED = "subscriber.paused"
SWITCHES = frozenset({_PAUSED, "subscriber.resumed"})
"""Changes in the audit that explain why a subscriber delivered nothing for a time."""

_ANSWER_LENGTH = 500


class StepKind(StrEnum):
    """Kind of a step of a timeline."""

    COMMITTED = "committed"
    READ_AGAIN = "read_again"
    SET_ASIDE = "set_aside"
    """Ingest could not read or append the event."""
    APPENDED = "appended"
    FORWARDED = "forwarded"
    TRIED = "tried"
    """The first attempt began."""
    FAILED = "failed"
    NOT_KEPT = "not_kept"
    """The log keeps neither the time nor the details of what happened."""
    PARKED = "parked"
    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    REDRIVE = "redrive"
    PAUSED = "paused"
    RESUMED = "resumed"
    WAITING = "waiting"
    """The event waits at this moment."""
    NEXT = "next"
    """The next attempt is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStep:
    """Step of a timeline, `at` in epoch seconds, or `None` if its time is not known.

    `seconds` is the duration of an attempt. `detail` is the target's answer or an
    error. For a failed attempt, `answer` is the beginning of the target's answer.
    """

    kind: StepKind
    said: str
    at: float | None = None
    subscriber: SubscriberName | None = None
    seconds: float | None = None
    detail: str = ""
    answer: str = ""
    exchange: AttemptExchange | None = None


def recorded_steps(evidence: Evidence) -> Iterator[TimelineStep]:
    """Yield the steps that follow from a subscriber's receipts, dead letters and parked lane."""
    name = evidence.name
    for receipt in sorted(evidence.receipts, key=lambda each: each.delivered_at):
        yield from _delivered(receipt, evidence.uses)
    for letter in sorted(evidence.letters, key=lambda each: each.failed_at):
        yield from _dead(letter, name)
    if evidence.lane is not None:
        yield from _parked(evidence, evidence.lane)


def _delivered(receipt: Receipt, uses: str) -> Iterator[TimelineStep]:
    name, failed = receipt.subscriber, receipt.failed_attempts
    yield TimelineStep(
        kind=StepKind.TRIED, said="First attempt begins.", at=receipt.first_tried_at, subscriber=name
    )
    yield from _attempts(failed, unkept=receipt.attempts - 1 - len(failed), name=name)
    yield TimelineStep(
        kind=StepKind.DELIVERED,
        said="Written back to Salesforce." if uses == _SALESFORCE else "Delivered.",
        at=receipt.delivered_at,
        subscriber=name,
        seconds=receipt.seconds,
        detail=_answer(receipt),
    )


def _dead(letter: DeadLetter, name: SubscriberName) -> Iterator[TimelineStep]:
    failed = letter.failed_attempts
    if not failed and letter.attempts > 1:
        yield _first_failure(letter.first_failed_at, letter.first_error, name)
    # Without kept attempts, two steps describe attempts: the first failure and the dead letter.
    told = len(failed) or min(letter.attempts, 2)
    yield from _attempts(failed, unkept=letter.attempts - told, name=name)
    yield TimelineStep(
        kind=StepKind.DEAD_LETTER,
        said=f"Became a dead letter ({letter.reason}).",
        at=letter.failed_at,
        subscriber=name,
        detail="" if failed else letter.error,
    )


def _first_failure(at: float, error: str, name: SubscriberName) -> TimelineStep:
    return TimelineStep(
        kind=StepKind.FAILED, said="First attempt fails.", at=at, subscriber=name, detail=error
    )


def _parked(evidence: Evidence, lane: ParkedLane) -> Iterator[TimelineStep]:
    name, setback, logged = evidence.name, lane.setback, evidence.logged
    if logged is None or not lane.offsets or lane.offsets[0] != logged.entry.offset:
        before = f"event {evidence.head.event.id}" if evidence.head else "an earlier event"
        yield TimelineStep(
            kind=StepKind.PARKED, said=f"Parked behind {before} of the same key.", subscriber=name
        )
        return
    failed = setback.failed_attempts
    if not failed and setback.attempts:
        yield _first_failure(setback.first_failed_at, setback.first_error, name)
    told = len(failed) or min(setback.attempts, 1)
    yield from _attempts(failed, unkept=setback.attempts - told, name=name)
    yield TimelineStep(
        kind=StepKind.PARKED,
        said="Parked: the log keeps the event until the next attempt.",
        at=failed[-1].at if failed else None,
        subscriber=name,
    )


def _attempts(
    failed: Sequence[FailedAttempt], *, unkept: int, name: SubscriberName
) -> Iterator[TimelineStep]:
    """Yield a step for each failed attempt that is kept, and one step for all attempts that are not kept."""
    yield from (_failure(each, name) for each in failed[:1])
    if unkept > 0:
        said = f"{unkept:,} more failed {'attempt' if unkept == 1 else 'attempts'}, not kept one by one."
        yield TimelineStep(kind=StepKind.NOT_KEPT, said=said, subscriber=name)
    yield from (_failure(each, name) for each in failed[1:])


def _failure(attempt: FailedAttempt, name: SubscriberName) -> TimelineStep:
    return TimelineStep(
        kind=StepKind.FAILED,
        said=f"Attempt fails ({attempt.failure}).",
        at=attempt.at,
        subscriber=name,
        # A duration of 0 means that no request was sent.
        seconds=attempt.seconds or None,
        detail=attempt.error,
        answer=attempt.answer,
        exchange=attempt.exchange,
    )


def switch_step(switch: AuditRecord, name: SubscriberName) -> TimelineStep:
    """Return the step for a pause of a subscriber, or for the end of a pause."""
    is_pause = switch.what == _PAUSED
    reason = str(switch.detail.get("reason") or "") if is_pause else ""
    return TimelineStep(
        kind=StepKind.PAUSED if is_pause else StepKind.RESUMED,
        said=f"The subscriber is {'paused' if is_pause else 'resumed'} by {switch.by}.",
        at=switch.at,
        subscriber=name,
        detail=reason,
    )


def redrive_step(order: AuditRecord, name: SubscriberName) -> TimelineStep:
    """Return the step for a redrive that possibly covered the event."""
    said = f"Redrive {order.detail.get('id')} ordered by {order.by}: it possibly covered the event."
    return TimelineStep(kind=StepKind.REDRIVE, said=said, at=order.at, subscriber=name)


def due_step(lane: ParkedLane, now: float, name: SubscriberName) -> TimelineStep:
    """Return the step for the next attempt at a parked lane."""
    is_over = lane.setback.due_at <= now
    said = "The next attempt has been due since then." if is_over else "The next attempt is due."
    return TimelineStep(kind=StepKind.NEXT, said=said, at=lane.setback.due_at, subscriber=name)


def _answer(receipt: Receipt) -> str:
    if not receipt.answer:
        return ""
    try:
        text = exact_json(dict(receipt.answer)).decode()
    except TypeError:
        text = repr(dict(receipt.answer))
    return text if len(text) <= _ANSWER_LENGTH else f"{text[: _ANSWER_LENGTH - 1]}…"
