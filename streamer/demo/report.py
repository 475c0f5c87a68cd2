"""Report of the demo, for people and for scripts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamer.demo.scenario import Scenario
from streamer.demo.tally import Tally, percentile
from streamer.events import DeadLetter, EventId, SubscriberName
from streamer.sandbox.targets.receiver import Receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times since the commit in Salesforce, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """Counts of one target: expected, delivered and repeated events, and dead letters."""

    expected: int
    delivered: int
    repeated: int
    set_aside: int = 0
    latency_ms: Latency

    @property
    def lost(self) -> int:
        """Number of expected events that neither arrived nor became dead letters."""
        return max(0, self.expected - self.delivered - self.set_aside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Counts at the org, in the log and at each target.

    `poisoned` are the ids of the events that a target was made to refuse.
    """

    sent: int
    appended: int
    duplicates_in_log: int
    dead_letters: Sequence[DeadLetter] = ()
    poisoned: Collection[EventId] = ()
    append_latency_ms: Latency
    targets: Mapping[SubscriberName, TargetReport]

    @property
    def lost(self) -> int:
        """Number of events that never reached the log, and of deliveries that ended nowhere."""
        return max(0, self.sent - self.appended) + sum(target.lost for target in self.targets.values())

    @property
    def unexpected_letters(self) -> Sequence[DeadLetter]:
        """Dead letters of events that no target was made to refuse."""
        return [each for each in self.dead_letters if not each.event or each.event.id not in self.poisoned]

    @property
    def is_good(self) -> bool:
        """True if events flowed, none is lost or doubled, and only poisoned ones are dead letters."""
        return bool(self.sent) and not (self.lost or self.duplicates_in_log or self.unexpected_letters)

    def as_json(self) -> dict[str, Any]:
        """Return the report for a file."""
        return {
            "sent": self.sent,
            "appended": self.appended,
            "duplicates": self.duplicates_in_log,
            "dead_letters": len(self.dead_letters),
            "poisoned": len(self.poisoned),
            "lost": self.lost,
            "append_latency_ms": asdict(self.append_latency_ms),
            "targets": {
                name: {**asdict(target), "lost": target.lost} for name, target in self.targets.items()
            },
        }


def report_of(
    scenario: Scenario,
    tally: Tally,
    receivers: Mapping[SubscriberName, Receiver],
    poisoned: Collection[EventId] = (),
) -> Report:
    """Compare the receivers' own journals with the changes in the org."""
    distinct = len(tally.appended_ids)
    letters = tuple(tally.dead_letters.values())
    return Report(
        sent=scenario.sent,
        appended=distinct,
        duplicates_in_log=tally.appended_ids.total() - distinct,
        dead_letters=letters,
        poisoned=frozenset(poisoned),
        append_latency_ms=_latency(tally.append_latency_s),
        targets={
            name: TargetReport(
                expected=scenario.expected[name],
                delivered=len(receiver.journal.accepted),
                repeated=sum(receiver.journal.duplicates.values()),
                set_aside=sum(letter.subscriber == name for letter in letters),
                latency_ms=_latency(tally.delivery_latency_s.get(name, [])),
            )
            for name, receiver in receivers.items()
        },
    )


def _latency(seconds: list[float]) -> Latency:
    return Latency(
        p50=round(percentile(seconds, 0.5) * 1000, 1), p99=round(percentile(seconds, 0.99) * 1000, 1)
    )
