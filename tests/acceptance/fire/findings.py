"""The outcome of a trial, compared with the promises."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streamer.events import JsonObject
from streamer.sandbox.targets.journal import JournalEntry
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.sent import Seen, by_key

_SHOWN = 5
# Salesforce can refuse the position of a channel, such as for a corrupted replay id. Events can be
# missing then, so a repair reads records from the org, and gives these events such ids. On a fast
# machine, a trial ends before its repairs.
_RECOVERED = "refused:"


def is_recovered(event_id: str) -> bool:
    """Return whether the event comes from a repair, and was not sent."""
    return event_id.startswith(_RECOVERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """One target's deliveries: events in the order of their first arrivals, and those that came again.

    Times are in epoch seconds. `first` holds the time of each event's first
    arrival, and `again`, for each repeated arrival, the event, the arrival
    before and the repeated one. `accepted` are the events that the target acted
    on.
    """

    first: Mapping[str, float]
    again: Sequence[tuple[str, float, float]]
    accepted: frozenset[str]

    @classmethod
    def of(cls, journal: Iterable[JournalEntry]) -> "Deliveries":
        """Read a journal whose requests name their event as `order`."""
        last: dict[str, float] = {}
        first: dict[str, float] = {}
        again: list[tuple[str, float, float]] = []
        arrivals = sorted(journal, key=lambda each: each.at)
        for received in arrivals:
            event = received.body["order"]
            if event in last:
                again.append((event, last[event], received.at))
            else:
                first[event] = received.at
            last[event] = received.at
        accepted = frozenset(each.body["order"] for each in arrivals if each.accepted)
        return cls(first=first, again=again, accepted=accepted)


@dataclass(slots=True, kw_only=True)
class Findings:
    """Every promise that was broken, by a sentence, and what was merely counted.

    `starved` are the repeats that no fault explains, at times when processes got
    no CPU: one can lose its session then, and another delivers again what it had
    not recorded. They break no promise, and a quiet machine has none.
    """

    sent: int = 0
    repeats: dict[str, int] = field(default_factory=dict)
    starved: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    recovered: frozenset[str] = frozenset()
    """Ids of a repair's events in the log, which targets get as well; `look_at_log` finds them."""

    @property
    def ok(self) -> bool:
        """True if all promises were kept."""
        return not self.broken

    def __str__(self) -> str:
        """Tell it in a line."""
        repeats = ", ".join(self._repeats_to(name) for name in self.repeats)
        verdict = "all promises kept" if self.ok else f"{len(self.broken)} promises broken"
        return f"{verdict}; {self.sent:,} events, repeats: {repeats}"

    def _repeats_to(self, name: str) -> str:
        starved = f" ({count:,} for want of CPU)" if (count := self.starved.get(name)) else ""
        return f"{self.repeats[name]:,} to {name}{starved}"

    def look_at_log(self, sent: Sequence[Seen], kept: Sequence[Seen], others: Collection[str] = ()) -> None:
        """Nothing lost, nothing twice, in order per key; a repair's events are there once.

        `others` are ids of records that the org has without an event, such as its users.
        """
        self.sent = len(sent)
        recovered = Counter(event.id for event in kept if is_recovered(event.id))
        self._say("recovered twice", [event_id for event_id, count in recovered.items() if count > 1])
        records = {event.key for event in sent} | set(others)
        strange = [event for event in kept if event.id in recovered and event.key not in records]
        self._say("recovered, of no record of the org", strange)
        self.recovered = frozenset(recovered)
        kept = [event for event in kept if event.id not in recovered]
        wanted, found = Counter(sent), Counter(kept)
        self._say("lost from the log", list((wanted - found).elements()))
        self._say("twice in the log, or never sent", list((found - wanted).elements()))
        if wanted == found:
            right, is_ = by_key(sent), by_key(kept)
            self._say("keys out of order in the log", [key for key in right if right[key] != is_[key]])

    def look_at_target(
        self, name: str, sent: Sequence[Seen], deliveries: Deliveries, strikes: Strikes
    ) -> None:
        """Everything delivered, in order per key, and repeated only where something struck."""
        keys = {event.id: event.key for event in sent}
        self._say(f"never delivered to {name}", sorted(keys.keys() - set(deliveries.first)))
        unsent = sorted(set(deliveries.first) - keys.keys() - self.recovered)
        self._say(f"delivered to {name}, never sent", unsent)
        self._say(f"keys out of order at {name}", _disordered(sent, deliveries, keys))
        unexplained = [
            (event, before, at)
            for event, before, at in deliveries.again
            if not strikes.could_repeat(before, at)
        ]
        broken = [
            f"{event} at {before:.2f}, again at {at:.2f}"
            for event, before, at in unexplained
            if not strikes.was_starved(before, at)
        ]
        self._say(f"repeated to {name} though nothing had struck", broken)
        self.repeats[name] = len(deliveries.again)
        self.starved[name] = len(unexplained) - len(broken)

    def look_at_receipts(self, name: str, deliveries: Deliveries, receipts: Sequence[JsonObject]) -> None:
        """One receipt of each delivery, however often it was repeated, and none of anything else."""
        wanted, found = Counter(deliveries.accepted), Counter(each["event_id"] for each in receipts)
        self._say(f"receipts of {name} missing", list((wanted - found).elements()))
        self._say(f"receipts of {name} too many", list((found - wanted).elements()))

    def look_at_chain(self, name: str, deliveries: Deliveries, upstream: Sequence[JsonObject]) -> None:
        """No event without, or before, the delivery in its receipt of the upstream subscriber."""
        delivered = {receipt["event_id"]: receipt["delivered_at"] for receipt in upstream}
        early = [
            f"{event} at {at:.2f}"
            for event, at in deliveries.first.items()
            if at < delivered.get(event, math.inf)
        ]
        self._say(f"delivered to {name} before the upstream receipt", early)

    def add(self, sentences: Iterable[str]) -> None:
        """Take over what others found."""
        self.broken += sentences

    def _say(self, what: str, found: Sequence[object]) -> None:
        if found:
            shown = ", ".join(map(str, found[:_SHOWN])) + (", …" if len(found) > _SHOWN else "")
            self.broken.append(f"{len(found)} {what}: {shown}")


def _disordered(sent: Sequence[Seen], deliveries: Deliveries, keys: Mapping[str, str]) -> list[str]:
    came: dict[str, list[str]] = defaultdict(list)
    for event in deliveries.first:
        if event in keys:
            came[keys[event]].append(event)
    right = by_key(sent)
    return [
        key
        for key, events in came.items()
        # Missing events are reported already; they must not make the rest look disordered.
        if events != [event for event in right[key] if event in set(events)]
    ]
