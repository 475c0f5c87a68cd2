"""Account of one event at one subscriber: its state, sentences that explain it, and the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from streamer.admin.context import Verdict
from streamer.admin.json_views import letter_detail, place_json, receipt_json, rfc3339
from streamer.controls import AuditRecord, Control
from streamer.events import DeadLetter, JsonObject, ParkedLane, Receipt, SettledOffsets, SubscriberName
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.ports import LoggedEvent

_NOT_SHOWN = frozenset({"event", "raw"})


class AccountState(StrEnum):
    """State of an event at a subscriber, as far as the log shows it."""

    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    PARKED = "parked"
    FILTERED = "filtered"
    WAITING = "waiting"
    SETTLED = "settled"
    """The event is settled, but the log does not keep the outcome."""
    NOT_FORWARDED = "not_forwarded"
    """No subscriber before this subscriber has forwarded the event."""
    UNKNOWN = "unknown"
    """The log no longer holds the event, and has no record of its outcome at this subscriber."""


_NOT_REACHED = frozenset({AccountState.FILTERED, AccountState.NOT_FORWARDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the log and this process know about one event at one subscriber.

    `logged` is the event, or its forwarded copy. `head` is the first event of the
    lane in which the event is parked. `redrives` are audit records of redrives that
    possibly covered the event. `switches` are pauses of the subscriber since the
    event, and their ends. `control` and `status` describe the subscriber now;
    `status` is `None` in a process that does not deliver to the subscriber.
    """

    name: SubscriberName
    uses: str
    is_selected: bool
    verdict: Verdict
    after: Sequence[SubscriberName] = ()
    keeps_receipts: bool = False
    logged: LoggedEvent | None = None
    progress: SettledOffsets | None = None
    lane: ParkedLane | None = None
    head: LoggedEvent | None = None
    receipts: Sequence[Receipt] = ()
    letters: Sequence[DeadLetter] = ()
    redrives: Sequence[AuditRecord] = ()
    switches: Sequence[AuditRecord] = ()
    control: Control | None = None
    status: SubscriberStatus | None = None

    @property
    def is_settled(self) -> bool:
        """True when the subscriber's progress covers the event."""
        return self.logged is not None and bool(
            self.progress and self.progress.covers(self.logged.entry.offset)
        )


@dataclass(slots=True, kw_only=True)
class Account:
    """State of an event at a subscriber, with sentences about its history and about next steps."""

    state: AccountState
    said: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)


def account_of(evidence: Evidence) -> Account:
    """Return the account that follows from `evidence`.

    Records in the log take precedence over the current configuration.
    """
    if evidence.lane is not None:
        account = _parked(evidence, evidence.lane)
    elif evidence.letters and not _is_delivered_since(evidence):
        account = _set_aside(evidence)
    elif evidence.receipts:
        account = _delivered(evidence)
    else:
        account = _without_record(evidence)
    account.said += _earlier(evidence, account.state)
    account.said += map(_redrive_said, _redrives(evidence, account.state))
    return account


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberAccount:
    """Evidence about an event at one subscriber, and the account that follows from it."""

    evidence: Evidence
    account: Account

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """Return the evidence with its account."""
        return cls(evidence=evidence, account=account_of(evidence))

    @property
    def waits(self) -> bool:
        """True while a later attempt can deliver the event."""
        return self.account.state in {AccountState.WAITING, AccountState.PARKED}

    def as_json(self) -> JsonObject:
        """Return the account with its evidence, without raw bytes."""
        evidence, account = self.evidence, self.account
        lane, logged = evidence.lane, evidence.logged
        return {
            "name": evidence.name,
            "uses": evidence.uses,
            "after": list(evidence.after),
            "state": account.state,
            "said": account.said,
            "next_steps": account.next_steps,
            "place": None if logged is None else place_json(logged),
            "receipts": [receipt_json(each) for each in evidence.receipts],
            "dead_letters": [
                {name: value for name, value in letter_detail(each).items() if name not in _NOT_SHOWN}
                for each in evidence.letters
            ],
            "parked": None
            if lane is None
            else {
                "lane": lane.lane,
                "events": len(lane.offsets),
                "head_offset": lane.offsets[0] if lane.offsets else None,
                "head_id": evidence.head.event.id if evidence.head else None,
                "attempts": lane.setback.attempts,
                "first_failed_at": rfc3339(lane.setback.first_failed_at),
                "due_at": rfc3339(lane.setback.due_at),
                "first_error": lane.setback.first_error,
                "last_error": lane.setback.last_error,
            },
            "settled_below": evidence.progress.next_offset if evidence.progress else None,
            "redrives": [
                {"id": each.detail.get("id"), "at": rfc3339(each.at), "by": each.by}
                for each in _redrives(evidence, account.state)
            ],
        }


def _parked(evidence: Evidence, lane: ParkedLane) -> Account:
    setback, logged = lane.setback, evidence.logged
    tried = f"{_counted(setback.attempts, 'attempt')} failed since {_at(setback.first_failed_at)}"
    last = f"the last error was: {setback.last_error}"
    account = Account(state=AccountState.PARKED)
    if logged is not None and lane.offsets and lane.offsets[0] == logged.entry.offset:
        account.said.append(f"The event is parked: {tried}; {last}.")
    else:
        first = f"event {evidence.head.event.id}" if evidence.head else "an earlier event"
        account.said.append(
            f"The event is parked behind {first} of the same key. {tried.capitalize()}; {last}."
        )
    account.said.append(f"The next attempt is at {_at(setback.due_at)}.")
    account.said += _hold_reasons(evidence)
    account.next_steps.append(
        "Fix the cause of the error. Streamer makes the next attempt automatically. `streamer parked "
        f"list {evidence.name}` shows the parked keys."
    )
    return account


def _set_aside(evidence: Evidence) -> Account:
    letter = max(evidence.letters, key=lambda each: each.failed_at)
    spent = f" after {_counted(letter.attempts, 'attempt')}" if letter.attempts else ""
    said = [
        (
            f"The event has been a dead letter since {_at(letter.failed_at)}{spent} ({letter.reason}): "
            f"{letter.error}"
        )
    ]
    if letter.first_error and letter.first_error != letter.error:
        said.append(f"The first attempt failed at {_at(letter.first_failed_at)}: {letter.first_error}")
    if letter.hint:
        said.append(f"Hint: {letter.hint}")
    return Account(
        state=AccountState.DEAD_LETTER,
        said=said,
        next_steps=[
            f"`streamer deadletters show '{letter.id}'` shows the target's answer.",
            (
                "Fix the cause of the error. Then deliver the event again with `streamer deadletters redrive "
                f"'{letter.id}'`."
            ),
        ],
    )


def _delivered(evidence: Evidence) -> Account:
    said = [
        f"Delivered at {_at(each.delivered_at)} in {_counted(each.attempts, 'attempt')}; the last attempt "
        f"took {each.seconds:.3f} s."
        for each in evidence.receipts
    ]
    return Account(state=AccountState.DELIVERED, said=said)


def _without_record(evidence: Evidence) -> Account:
    if not evidence.is_selected:
        return Account(
            state=AccountState.FILTERED,
            said=[f"The subscriber does not select the event: {evidence.verdict.why}."],
        )
    if evidence.logged is None and evidence.after:
        return _not_forwarded(evidence)
    if evidence.logged is None:
        said = "The log no longer holds the event, and has no record of its outcome at this subscriber."
        return Account(state=AccountState.UNKNOWN, said=[said])
    if not evidence.is_settled:
        return _waiting(evidence, evidence.logged)
    return _settled(evidence)


def _not_forwarded(evidence: Evidence) -> Account:
    before = ", ".join(evidence.after)
    why = evidence.verdict.why
    said = f"This subscriber waits for {before}, which did not forward the event"
    return Account(
        state=AccountState.NOT_FORWARDED,
        said=[f"{said}: {why}." if why else f"{said}."],
        next_steps=[f"Look at the event's outcome at {before}."],
    )


def _waiting(evidence: Evidence, logged: LoggedEvent) -> Account:
    if evidence.progress is None:
        said = "The event waits: the subscriber has recorded no progress in this partition yet."
        return Account(state=AccountState.WAITING, said=[said, *_hold_reasons(evidence)])
    behind = logged.entry.offset - evidence.progress.next_offset
    where = (
        "it is the next event in the partition"
        if behind <= 0
        else f"at most {_counted(behind, 'event')} of the partition come first"
    )
    account = Account(state=AccountState.WAITING, said=[f"The event waits: {where}."])
    account.said += _hold_reasons(evidence)
    if not evidence.verdict.matches and not evidence.verdict.error:
        account.said.append(f"The subscriber will filter out the event: {evidence.verdict.why}.")
    if not account.next_steps:
        account.next_steps.append("`streamer subscribers list` shows whether the subscriber makes progress.")
    return account


def _settled(evidence: Evidence) -> Account:
    verdict = evidence.verdict
    if verdict.absent and not verdict.matches:
        names = ", ".join(verdict.absent)
        said = (
            "The event is settled, but the log has no record of its outcome. The subscriber's "
            f"expressions read {names}, and the log does not keep the values at that time. So the event "
            "was filtered out, skipped or delivered."
        )
        return Account(state=AccountState.SETTLED, said=[said])
    if verdict.error:
        said = (
            "The event is settled, but the log has no record of its outcome. An expression fails on the "
            f"event: {verdict.error}."
        )
        kept = (
            "So the event's dead letter was redriven or discarded, or the expressions have changed since "
            "the event was settled."
        )
        return Account(state=AccountState.SETTLED, said=[said, kept])
    if not verdict.matches:
        said = f"The event was filtered out: {verdict.why}."
        return Account(
            state=AccountState.FILTERED,
            said=[
                said,
                (
                    "This reason comes from today's configuration, which can differ from the configuration "
                    "at that time."
                ),
            ],
        )
    if evidence.keeps_receipts:
        said = (
            "The event is settled, but the log has no receipt: the plugin skipped the event, the event's "
            "dead letter was discarded, the receipt has expired, or the event is older than the "
            "subscriber."
        )
        return Account(state=AccountState.SETTLED, said=[said])
    said = (
        "The event is settled: it was delivered, skipped by the plugin, or older than the subscriber. "
        "The log does not show which, because this subscriber keeps no receipts."
    )
    step = f"To record future deliveries in the log, set subscribers.{evidence.name}.receipts to true."
    return Account(state=AccountState.SETTLED, said=[said], next_steps=[step])


def _hold_reasons(evidence: Evidence) -> list[str]:
    """Return the reasons why the subscriber does not deliver now."""
    said = []
    control = evidence.control
    if control is not None and control.switch == "paused":
        why = f": {control.reason}" if control.reason else ""
        said.append(
            f"{control.by} paused the subscriber at {_at(control.at)}{why}. `streamer subscribers resume "
            f"{evidence.name}` ends the pause."
        )
    if evidence.status is None:
        said.append(
            "This process does not deliver to the subscriber, so it does not know the attempts in "
            "memory. Ask a process that delivers to the subscriber."
        )
    elif evidence.status.trouble:
        said.append(f"The subscriber has trouble: {evidence.status.trouble}.")
    return said


def _is_delivered_since(evidence: Evidence) -> bool:
    delivered = max((each.delivered_at for each in evidence.receipts), default=0.0)
    return delivered > max(each.failed_at for each in evidence.letters)


def _earlier(evidence: Evidence, state: AccountState) -> list[str]:
    """Return sentences about other receipts and dead letters of the event, which do not decide its state."""
    said = []
    if state is not AccountState.DELIVERED:
        said += [
            f"The event was also delivered earlier, at {_at(each.delivered_at)}."
            for each in evidence.receipts
        ]
    if state is not AccountState.DEAD_LETTER:
        said += [
            f"The event also has a dead letter since {_at(each.failed_at)}: {each.id}"
            for each in evidence.letters
        ]
    return said


def _redrives(evidence: Evidence, state: AccountState) -> Sequence[AuditRecord]:
    """Return the redrives of the event, or nothing if the event never reached the subscriber."""
    return () if state in _NOT_REACHED else evidence.redrives


def _redrive_said(order: AuditRecord) -> str:
    return (
        f"Redrive {order.detail.get('id')}, ordered by {order.by} at {_at(order.at)}, possibly covered "
        "the event."
    )


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def _at(moment: float) -> str:
    text = rfc3339(moment)
    return f"{text[:10]} {text[11:19]}Z"
