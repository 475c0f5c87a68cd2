"""Forwarding of settled events, with receipts, to downstream subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson

from streamer.events import Delivery, Event, Forwarded, JsonObject, Receipt, SubscriberName
from streamer.exact_json import exact_default, exact_value
from streamer.later import Later

if TYPE_CHECKING:
    from streamer.events import dead_letters
    from streamer.normalise import malformed
else:
    dead_letters = Later("streamer.events.dead_letters")
    malformed = Later("streamer.normalise.malformed")

DELIVERED, REJECTED, SKIPPED = "delivered", "rejected", "skipped"

_NO_RECEIPTS: JsonObject = {"receipts": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Downstream:
    """Downstream subscriber, and the outcomes that this subscriber gets in addition to deliveries."""

    name: SubscriberName
    hears_rejections: bool = False
    hears_skips: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Creates the events that the subscriber `name` forwards to the subscribers in `downstream`.

    In a forwarded event, `receipts` has the receipt of each subscriber that the event
    has passed, by the name of the subscriber. The `outcome` of a receipt is
    `delivered`, with `answer`, `attempts` and `delivered_at`; or `rejected`, with
    `reason`, `error`, `answer`, `attempts` and `rejected_at`; or `skipped`. These times
    are RFC 3339 in UTC, and `at` is in epoch seconds. `again` is true after a redrive
    of a rejected event.
    """

    name: SubscriberName
    downstream: Sequence[Downstream] = ()

    def settled(
        self, event: Event, proof: Receipt | dead_letters.DeadLetter | None, at: float
    ) -> Sequence[Forwarded]:
        """Return a copy of `event` for each downstream subscriber that gets the event's outcome.

        `proof` is the receipt, or the dead letter of a rejected event. A `proof` of `None`
        means that the event was skipped.
        """
        names = [each.name for each in self.downstream if _hears(each, proof)]
        if not names:
            return ()
        receipt = _receipt(proof, at)
        if _receipt_of(event, self.name):
            # The event became a dead letter before, and the downstream subscribers have received
            # that outcome.
            receipt["again"] = True
        whole = replace(event, receipts={**(event.receipts or {}), self.name: receipt})
        return [Forwarded(to=name, event=whole, at=at) for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Upstream subscribers of one subscriber.

    With `runs_rejected`, the subscriber also gets the events that an upstream
    subscriber has rejected. If there are several upstream subscribers, each of them
    forwards a half of an event: a copy of the event with its own receipts. `takes`
    returns false for an event type that at least one upstream subscriber never takes.
    An event of such a type never comes from all upstream subscribers. `passed` has, for
    each upstream subscriber, the subscribers that an event has passed before this
    upstream subscriber.
    """

    names: tuple[SubscriberName, ...] = ()
    runs_rejected: bool = False
    passed: Mapping[SubscriberName, frozenset[SubscriberName]] = field(default_factory=dict)
    takes: Callable[[str], bool] = field(default=lambda _: True)

    @property
    def joins(self) -> bool:
        """True if there are several upstream subscribers, so that events come in halves."""
        return len(self.names) > 1

    def missing(self, event: Event) -> list[SubscriberName]:
        """Return the upstream subscribers whose receipt is missing in `event`."""
        return [name for name in self.names if name not in (event.receipts or {})]

    def is_late(self, event: Event) -> bool:
        """Return true for a redriven half that came after the other halves were settled without it.

        If all halves come through the subscriber whose dead letter was redriven, the
        other halves also come again. Then the half is not late.
        """
        redrives = {
            name: _at(event, name) for name in event.receipts or {} if _receipt_of(event, name).get("again")
        }
        if not redrives:
            return False
        latest = max(redrives, key=redrives.__getitem__)
        return any(latest not in self.passed.get(name, ()) for name in self.missing(event))

    def match(self, one: Event, other: Event) -> bool:
        """Return true if the halves have equal receipts of each earlier subscriber that both have passed."""
        before = ((one.receipts or {}).keys() & (other.receipts or {}).keys()) - set(self.names)
        return all(_receipt_of(one, name) == _receipt_of(other, name) for name in before)

    def heard_at(self, event: Event) -> float:
        """Return when the last upstream subscriber settled `event`, in epoch seconds; 0 if unknown."""
        return max((_at(event, name) for name in self.names), default=0.0)

    def exclusion(self, event: Event) -> str:
        """Return the reason why the subscriber does not get `event` (or a half), or an empty text."""
        if not self.takes(event.type):
            return "not every upstream subscriber takes events of this type"
        if self.joins and self.missing(event):
            return ""
        for name in self.names:
            outcome = _receipt_of(event, name).get("outcome")
            if outcome == SKIPPED or (outcome == REJECTED and not self.runs_rejected):
                return f"the upstream subscriber {name} has {outcome} the event"
        return ""

    def repeats(self, event: Event) -> bool:
        """Return true for a late half that changes nothing: it was again skipped or rejected upstream."""
        outcomes = {_receipt_of(event, name).get("outcome") for name in self.names}
        return self.is_late(event) and not outcomes.isdisjoint((SKIPPED, REJECTED))

    def is_rejected(self, event: Event) -> bool:
        """Return true if an upstream subscriber has rejected `event`."""
        return any(_receipt_of(event, name).get("outcome") == REJECTED for name in self.names)

    def letter_id(self, event: Event, subscriber: SubscriberName) -> str:
        """Return the id for a dead letter of `event`, which differs from the ids of its other dead letters.

        With equal ids, one dead letter would replace another. So each half has its own
        id, and an event that is delivered after a rejection has its own id.
        """
        parts = [event.id, subscriber]
        if self.joins and self.missing(event):
            parts += [name for name in self.names if _receipt_of(event, name)]
        elif self.is_rejected(event):
            parts.append(REJECTED)
        return ":".join(parts)

    def told(self, delivery: Delivery, more: JsonObject) -> Delivery:
        """Return `delivery` with the receipts in `more`.

        If an upstream subscriber has rejected the event, the delivery gets an idempotency
        key of its own.
        """
        if not self.names:
            return delivery
        # After a redrive, an upstream subscriber can deliver an event that it rejected before.
        # The target then gets a second delivery, and would treat it as a repetition if both
        # deliveries had the same key.
        key = f"{delivery.key}:rejected" if self.is_rejected(delivery.event) else delivery.key
        return replace(delivery, key=key, receipts=more["receipts"])


def receipts_of(event: Event) -> JsonObject:
    """Return the member `receipts` of the document of `event`, by upstream subscriber name.

    A receipt has its own members, the members of the target's answer, and
    `rejected`, which is true or false.
    """
    if not event.receipts:
        return _NO_RECEIPTS
    return {"receipts": {name: _shown(each) for name, each in event.receipts.items()}}


def redriven(event: Event, name: SubscriberName) -> Event:
    """Return `event` with a receipt which says that the subscriber `name` has rejected the event before."""
    return replace(event, receipts={**(event.receipts or {}), name: {"outcome": REJECTED}})


def joined(halves: Sequence[Event]) -> Event:
    """Return the event of `halves` with the receipts of all halves.

    If several halves have a receipt with the same name, the receipt of the last half is
    used.
    """
    receipts: JsonObject = {}
    for half in halves:
        receipts |= half.receipts or {}
    return replace(halves[0], receipts=receipts)


def _hears(downstream: Downstream, proof: Receipt | dead_letters.DeadLetter | None) -> bool:
    match proof:
        case Receipt():
            return True
        case dead_letters.DeadLetter():
            return downstream.hears_rejections
        case None:
            return downstream.hears_skips


def _receipt(proof: Receipt | dead_letters.DeadLetter | None, at: float) -> JsonObject:
    match proof:
        case Receipt():
            return {
                "outcome": DELIVERED,
                "answer": _json(proof.answer),
                "attempts": proof.attempts,
                "at": proof.delivered_at,
                "delivered_at": malformed.from_epoch_ms(int(proof.delivered_at * 1000)),
            }
        case dead_letters.DeadLetter():
            return {
                "outcome": REJECTED,
                "reason": proof.reason,
                "error": _json(proof.error),
                "answer": _json(proof.answer),
                "attempts": proof.attempts,
                "at": proof.failed_at,
                "rejected_at": malformed.from_epoch_ms(int(proof.failed_at * 1000)),
            }
        case None:
            return {"outcome": SKIPPED, "at": at}


def _json(value: object) -> object:
    """Return `value` as a JSON value; a value that JSON can't hold becomes its Python text."""
    try:
        return exact_value(orjson.dumps(value, default=exact_default))
    except (TypeError, ValueError, RecursionError):
        text = repr(value).encode("utf-8", "backslashreplace").decode()
        return {"text": text} if isinstance(value, dict) else text


def _receipt_of(event: Event, name: str) -> JsonObject:
    receipt = (event.receipts or {}).get(name)
    return receipt if isinstance(receipt, dict) else {}


def _at(event: Event, name: str) -> float:
    at = _receipt_of(event, name).get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _shown(receipt: object) -> object:
    if not isinstance(receipt, dict):
        return receipt
    answer = receipt.get("answer")
    members = answer if isinstance(answer, dict) else {}
    return {**members, **receipt, "rejected": receipt.get("outcome") == REJECTED}
