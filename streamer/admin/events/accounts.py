"""Accounts of one event at one subscriber: a state, sentences, and the records that they rest on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from streamer.admin.context import Verdict
from streamer.admin.json_views import letter_detail, place_json, receipt_json, rfc3339
from streamer.controls import AuditRecord, Control
from streamer.events import DeadLetter, JsonObject, ParkedLane, Receipt, SettledOffsets, SubscriberName
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.ports import LoggedEvent

_NOT_SHOWN = frozenset({"event", "raw"})


class AccountState(StrEnum):
    """State of an event at a subscriber, as far as the log knows it."""

    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    PARKED = "parked"
    FILTERED = "filtered"
    WAITING = "waiting"
    SETTLED = "settled"
    """It is done, and the log does not keep how."""
    NOT_FORWARDED = "not_forwarded"
    """No subscriber before this one has forwarded it."""
    UNKNOWN = "unknown"
    """The log has lost the event's place, and keeps nothing else of it here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the log and this process know of one event at one subscriber.

    `logged` is the event, or the copy that was forwarded. `head` is the event at
    the beginning of the lane that parks it. `redrives` are records of orders that
    can have covered it. `control` and `status` describe the subscriber now; the
    second is `None` in a process that does not deliver for it.
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
    """State of an event at a subscriber, and sentences: what happened, and what to do next."""

    state: AccountState
    said: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)


def account_of(evidence: Evidence) -> Account:
    """Return the account that the evidence gives; records count before what the configuration says today."""
    if evidence.lane is not None:
        account = _parked(evidence, evidence.lane)
    elif evidence.letters and not _is_delivered_since(evidence):
        account = _set_aside(evidence)
    elif evidence.receipts:
        account = _delivered(evidence)
    else:
        account = _without_record(evidence)
    account.said += _earlier(evidence, account.state)
    account.said += map(_redrive_said, evidence.redrives)
    return account


def account_json(evidence: Evidence) -> JsonObject:
    """Return the account with its evidence, without raw bytes."""
    account, lane, logged = account_of(evidence), evidence.lane, evidence.logged
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
            {"id": each.detail.get("id"), "at": rfc3339(each.at), "by": each.by} for each in evidence.redrives
        ],
    }


def _parked(evidence: Evidence, lane: ParkedLane) -> Account:
    setback, logged = lane.setback, evidence.logged
    tried = f"{_counted(setback.attempts, 'attempt')} failed since {_at(setback.first_failed_at)}"
    last = f"the last error: {setback.last_error}"
    account = Account(state=AccountState.PARKED)
    if logged is not None and lane.offsets and lane.offsets[0] == logged.entry.offset:
        account.said.append(f"Parked: {tried}; {last}.")
    else:
        first = f"event {evidence.head.event.id}" if evidence.head else "an earlier event"
        account.said.append(f"Parked behind {first} of the same key. {tried.capitalize()}; {last}.")
    account.said.append(f"The next attempt is due at {_at(setback.due_at)}.")
    account.said += _hold_reasons(evidence)
    account.next_steps.append(
        "Mend the cause: the next attempt comes by itself. "
        f"`streamer parked list {evidence.name}` shows the parked keys."
    )
    return account


def _set_aside(evidence: Evidence) -> Account:
    letter = max(evidence.letters, key=lambda each: each.failed_at)
    spent = f" after {_counted(letter.attempts, 'attempt')}" if letter.attempts else ""
    said = [f"Dead letter since {_at(letter.failed_at)}{spent} ({letter.reason}): {letter.error}"]
    if letter.first_error and letter.first_error != letter.error:
        said.append(f"The first attempt failed at {_at(letter.first_failed_at)}: {letter.first_error}")
    if letter.hint:
        said.append(f"Hint: {letter.hint}")
    return Account(
        state=AccountState.DEAD_LETTER,
        said=said,
        next_steps=[
            f"`streamer deadletters show '{letter.id}'` shows the target's answer.",
            f"After mending the cause: `streamer deadletters redrive '{letter.id}'`.",
        ],
    )


def _delivered(evidence: Evidence) -> Account:
    said = [
        f"Delivered at {_at(each.delivered_at)} in {_counted(each.attempts, 'attempt')}; the last took "
        f"{each.seconds:.3f} s."
        for each in evidence.receipts
    ]
    return Account(state=AccountState.DELIVERED, said=said)


def _without_record(evidence: Evidence) -> Account:
    if not evidence.is_selected:
        return Account(state=AccountState.FILTERED, said=[f"Not selected: {evidence.verdict.why}."])
    if evidence.logged is None and evidence.after:
        return _not_forwarded(evidence)
    if evidence.logged is None:
        said = "The log does not hold the event any more, and no record of it at this subscriber."
        return Account(state=AccountState.UNKNOWN, said=[said])
    if not evidence.is_settled:
        return _waiting(evidence, evidence.logged)
    return _settled(evidence)


def _not_forwarded(evidence: Evidence) -> Account:
    before = ", ".join(evidence.after)
    why = evidence.verdict.why
    said = f"Not forwarded by {before}, after which it comes"
    return Account(
        state=AccountState.NOT_FORWARDED,
        said=[f"{said}: {why}." if why else f"{said}."],
        next_steps=[f"See what became of it at {before}."],
    )


def _waiting(evidence: Evidence, logged: LoggedEvent) -> Account:
    if evidence.progress is None:
        said = "Waiting: the subscriber has recorded no progress here yet."
        return Account(state=AccountState.WAITING, said=[said, *_hold_reasons(evidence)])
    behind = logged.entry.offset - evidence.progress.next_offset
    where = "next in its partition" if behind <= 0 else f"at most {_counted(behind, 'event')} before it"
    account = Account(state=AccountState.WAITING, said=[f"Waiting: not settled yet, {where}."])
    account.said += _hold_reasons(evidence)
    if not evidence.verdict.matches and not evidence.verdict.error:
        account.said.append(f"It will be filtered out: {evidence.verdict.why}.")
    if not account.next_steps:
        account.next_steps.append("`streamer subscribers list` shows whether the subscriber makes progress.")
    return account


def _settled(evidence: Evidence) -> Account:
    verdict = evidence.verdict
    if verdict.absent and not verdict.matches:
        names = ", ".join(verdict.absent)
        said = (
            f"Settled without a record. Its expressions read {names}, as it was then, which the log does not "
            "keep: it was filtered out, skipped or delivered."
        )
        return Account(state=AccountState.SETTLED, said=[said])
    if verdict.error:
        said = f"Settled without a record, though its expressions fail on it: {verdict.error}."
        kept = "Its dead letter was redriven or discarded, or the expressions have changed since."
        return Account(state=AccountState.SETTLED, said=[said, kept])
    if not verdict.matches:
        said = f"Filtered out: {verdict.why}."
        return Account(
            state=AccountState.FILTERED, said=[said, "That is the verdict of today's configuration."]
        )
    if evidence.keeps_receipts:
        said = (
            "Settled without a receipt: its plugin skipped it, its dead letter was discarded, its receipt "
            "has expired, or it is older than the subscriber."
        )
        return Account(state=AccountState.SETTLED, said=[said])
    said = (
        "Settled: delivered, skipped by its plugin, or older than the subscriber. The log does not keep "
        "which, because this subscriber keeps no receipts."
    )
    step = (
        f"Set subscribers.{evidence.name}.receipts to true, and the log keeps what is delivered from then on."
    )
    return Account(state=AccountState.SETTLED, said=[said], next_steps=[step])


def _hold_reasons(evidence: Evidence) -> list[str]:
    """Return what keeps the subscriber from delivering now."""
    said = []
    control = evidence.control
    if control is not None and control.switch == "paused":
        why = f": {control.reason}" if control.reason else ""
        said.append(
            f"The subscriber is paused since {_at(control.at)}, by {control.by}{why}. "
            f"`streamer subscribers resume {evidence.name}` ends that."
        )
    if evidence.status is None:
        said.append(
            "This process does not deliver for the subscriber: ask one that does for attempts in memory."
        )
    elif evidence.status.trouble:
        said.append(f"The subscriber has trouble: {evidence.status.trouble}.")
    return said


def _is_delivered_since(evidence: Evidence) -> bool:
    delivered = max((each.delivered_at for each in evidence.receipts), default=0.0)
    return delivered > max(each.failed_at for each in evidence.letters)


def _earlier(evidence: Evidence, state: AccountState) -> list[str]:
    """Return sentences on records that do not make the state."""
    said = []
    if state is not AccountState.DELIVERED:
        said += [f"It was delivered before, at {_at(each.delivered_at)}." for each in evidence.receipts]
    if state is not AccountState.DEAD_LETTER:
        said += [
            f"There is a dead letter of it as well, since {_at(each.failed_at)}: {each.id}"
            for each in evidence.letters
        ]
    return said


def _redrive_said(order: AuditRecord) -> str:
    return f"Redrive {order.detail.get('id')} of {_at(order.at)}, by {order.by}, can have covered it."


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def _at(moment: float) -> str:
    text = rfc3339(moment)
    return f"{text[:10]} {text[11:19]}Z"
