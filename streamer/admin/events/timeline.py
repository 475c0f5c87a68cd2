"""Timeline of one event: everything that is known to have happened to it, in order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import chain
from math import inf, nextafter

from streamer.admin.events.accounts import AccountState, Evidence, SubscriberAccount
from streamer.admin.events.steps import (
    StepKind,
    TimelineStep,
    due_step,
    recorded_steps,
    redrive_step,
    switch_step,
)
from streamer.admin.json_views import exchange_json, optional_time
from streamer.events import DeadLetter, Event, JsonObject
from streamer.ports import LoggedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """Everything that is known about one event, `now` in epoch seconds.

    `aside` are dead letters of ingest, and `accounts` the accounts of all
    subscribers.
    """

    now: float
    event: Event | None
    logged: LoggedEvent | None = None
    aside: Sequence[DeadLetter] = ()
    accounts: Sequence[SubscriberAccount] = ()


_LOG_S = 0.001


class _Phase(IntEnum):
    """Phase of an event's life.

    Phases put causes before effects, even if the clocks of Salesforce and Streamer
    differ.
    """

    COMMIT = 0
    APPEND = 1
    DISPATCH = 2
    NOW = 3
    LATER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """Step with its position in the timeline: its phase, and the time `around` which the step happened."""

    phase: _Phase
    around: float
    step: TimelineStep


def timeline_of(facts: EventFacts) -> list[TimelineStep]:
    """Return the steps of an event, the oldest first.

    A step without a time is placed by an estimate of its time.
    """
    placed = [*_received(facts), *chain.from_iterable(_at_subscriber(each, facts) for each in facts.accounts)]
    waiting = [each.evidence.name for each in facts.accounts if each.waits]
    if waiting:
        said = f"Waits at {', '.join(waiting)}."
        placed.append(_placed(_Phase.NOW, TimelineStep(kind=StepKind.WAITING, said=said, at=facts.now)))
    # The sort is stable, so simultaneous steps of a subscriber stay in their order.
    return [each.step for each in sorted(placed, key=lambda each: (each.phase, each.around))]


def timeline_json(steps: Iterable[TimelineStep]) -> list[JsonObject]:
    """Return steps as JSON; `since_s` is the time since the previous step with a known time."""
    said, before = list[JsonObject](), None
    for step in steps:
        since_s = None if step.at is None or before is None else round(step.at - before, 6)
        said.append(
            {
                "at": optional_time(step.at),
                "since_s": since_s,
                "kind": step.kind,
                "subscriber": step.subscriber,
                "said": step.said,
                "seconds": step.seconds,
                "detail": step.detail,
                "answer": step.answer,
                "exchange": exchange_json(step.exchange),
            }
        )
        before = before if step.at is None else step.at
    return said


def _placed(phase: _Phase, step: TimelineStep, *, around: float = 0.0) -> _Placed:
    return _Placed(phase=phase, around=around if step.at is None else step.at, step=step)


def _received(facts: EventFacts) -> Iterator[_Placed]:
    event, logged = facts.event, facts.logged
    if event is not None:
        said = f"Committed in Salesforce, in channel {event.channel}."
        committed_at = datetime.fromisoformat(event.time).timestamp()
        yield _placed(_Phase.COMMIT, TimelineStep(kind=StepKind.COMMITTED, said=said, at=committed_at))
        yield from _read_again(event)
    for letter in facts.aside:
        said = f"Set aside by ingest ({letter.reason})."
        aside = TimelineStep(kind=StepKind.SET_ASIDE, said=said, at=letter.failed_at, detail=letter.error)
        yield _placed(_Phase.APPEND, aside)
    if logged is not None:
        entry = logged.entry
        said = f"Appended to the log: {entry.partition.topic}/{entry.partition.number}/{entry.offset}."
        appended = TimelineStep(kind=StepKind.APPENDED, said=said, at=logged.appended_at)
        # An event that was set aside is appended after that.
        yield _placed(
            _Phase.APPEND, appended, around=max((each.failed_at for each in facts.aside), default=0.0)
        )


def _read_again(event: Event) -> Iterator[_Placed]:
    redriven = event.data.get("redriven")
    at = redriven.get("redriven_at") if isinstance(redriven, dict) else None
    if not isinstance(at, str):
        return
    said = "Read again from a dead letter of ingest."
    try:
        read_at = datetime.fromisoformat(at).timestamp()
    except ValueError:
        return
    yield _placed(_Phase.APPEND, TimelineStep(kind=StepKind.READ_AGAIN, said=said, at=read_at))


def _at_subscriber(found: SubscriberAccount, facts: EventFacts) -> Iterator[_Placed]:
    """Yield the steps at one subscriber."""
    evidence, state = found.evidence, found.account.state
    if state in {AccountState.FILTERED, AccountState.NOT_FORWARDED, AccountState.UNKNOWN}:
        return
    steps = [*recorded_steps(evidence)]
    known = [step.at for step in steps if step.at is not None]
    ended = None if found.waits else max(known, default=None)
    first = min(known, default=_arrived_at(evidence, facts))
    if evidence.after and evidence.logged is not None:
        said = f"Forwarded by {', '.join(evidence.after)}."
        forwarded = TimelineStep(
            kind=StepKind.FORWARDED, said=said, at=_forwarded_at(evidence, facts), subscriber=evidence.name
        )
        yield _placed(_Phase.DISPATCH, forwarded, around=first)
    for switch in evidence.switches:
        if ended is None or switch.at < ended:
            yield _placed(_Phase.DISPATCH, switch_step(switch, evidence.name))
    before = first
    for step in steps:
        yield _placed(_Phase.DISPATCH, step, around=before)
        before = before if step.at is None else step.at
    yield from (_placed(_Phase.DISPATCH, redrive_step(each, evidence.name)) for each in evidence.redrives)
    if state is AccountState.SETTLED and not steps:
        said = "Settled. The log keeps neither the time nor the outcome."
        settled = TimelineStep(kind=StepKind.NOT_KEPT, said=said, subscriber=evidence.name)
        yield _placed(_Phase.DISPATCH, settled, around=facts.now)
    if evidence.lane is not None:
        due = due_step(evidence.lane, facts.now, evidence.name)
        yield _placed(_Phase.LATER if evidence.lane.setback.due_at > facts.now else _Phase.NOW, due)


def _forwarded_at(evidence: Evidence, facts: EventFacts) -> float | None:
    """Return the time of the copy's append, corrected so that it is later than the delivery before it."""
    appended_at = evidence.logged.appended_at if evidence.logged else None
    if appended_at is None:
        return None
    before = [each.evidence for each in facts.accounts if each.evidence.name in evidence.after]
    delivered = (receipt.delivered_at for each in before for receipt in each.receipts)
    # The embedded log keeps whole milliseconds, and a receipt keeps more.
    same = [at for at in delivered if appended_at <= at < appended_at + _LOG_S]
    return nextafter(max(same), inf) if same else appended_at


def _arrived_at(evidence: Evidence, facts: EventFacts) -> float:
    """Return the earliest time at which the subscriber can have got the event."""
    appended_at = evidence.logged.appended_at if evidence.logged else None
    if appended_at is not None:
        return appended_at
    return facts.now if facts.event is None else datetime.fromisoformat(facts.event.time).timestamp()
