"""Report of the demo, for people and for scripts."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamer.demo.scenario import BEFORE, Scenario, Steps, record_of
from streamer.demo.tally import Tally, percentile
from streamer.events import DeadLetter, EventId, SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    """State of the log and of the daemon's work, to tell events under way from lost events.

    `logged` counts the log's events by id. `unread` counts messages of the org that
    the daemon has not read yet. `pending` counts undelivered events for each
    target.
    """

    logged: Counter[EventId]
    unread: int
    pending: Mapping[SubscriberName, int]

    def ahead_of(self, target: SubscriberName) -> int:
        """Return the number of unread and pending events, which is the most that can still reach `target`."""
        name: SubscriberName | None = target
        total = self.unread
        while name is not None:
            total += self.pending.get(name, 0)
            name = BEFORE[name]
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times since the commit in Salesforce, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCounts:
    """Counts of one target: expected, delivered and repeated events, and dead letters.

    `due` counts sales that have neither arrived nor become a dead letter. `lost` counts
    the due sales that can no longer arrive. `second_rounds` counts deliveries without a
    sale, which a write-back could cause. `early` counts steps that the target took
    before the preceding step.
    """

    expected: int
    delivered: int
    repeated: int
    set_aside: int = 0
    due: int = 0
    lost: int = 0
    second_rounds: int = 0
    early: int = 0
    latency_ms: Latency

    @classmethod
    def of(
        cls,
        expected: Collection[str],
        steps: Counter[str],
        letters: Collection[str],
        *,
        ahead: int | None = None,
        **more: Any,
    ) -> "TargetCounts":
        """Compare the records in `steps` and `letters` with the `expected` records.

        The keys of `steps` are idempotency keys of deliveries. At most `ahead`
        events can still arrive; without `ahead`, no event counts as lost.
        """
        ended = Counter([*map(record_of, steps), *letters])
        due = len(set(expected) - ended.keys())
        return cls(
            expected=len(expected),
            delivered=len(steps),
            repeated=steps.total() - len(steps),
            set_aside=len(letters),
            due=due,
            lost=_lost(due, ahead),
            second_rounds=(ended - Counter(expected)).total(),
            **more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """Counts at the org, in the log and at each target.

    `poisoned` are the ids of records whose events a target is told to reject. `unread`
    is the number of messages that the daemon has not read yet, or `None` while the
    number is unknown.
    """

    sent: int
    appended: int
    unread: int | None = None
    duplicates_in_log: int
    dead_letters: Sequence[DeadLetter] = ()
    poisoned: Collection[str] = ()
    append_latency_ms: Latency
    targets: Mapping[SubscriberName, TargetCounts]

    @property
    def lost(self) -> int:
        """Number of events that will not reach the log, plus deliveries that will not reach a target."""
        return self.lost_before_log + sum(target.lost for target in self.targets.values())

    @property
    def due(self) -> int:
        """Number of events that are not in the log, plus deliveries that have not ended."""
        return self.missing + sum(target.due for target in self.targets.values())

    @property
    def on_their_way(self) -> int:
        """Number of due events and deliveries that are not lost."""
        return self.due - self.lost

    @property
    def missing(self) -> int:
        """Number of messages that are not in the log."""
        return max(0, self.sent - self.appended)

    @property
    def lost_before_log(self) -> int:
        """Number of missing messages that the daemon will not read."""
        return _lost(self.missing, self.unread)

    @property
    def unexpected_letters(self) -> Sequence[DeadLetter]:
        """Dead letters of events that no target was told to reject."""
        return [
            each for each in self.dead_letters if not each.event or each.event.subject not in self.poisoned
        ]

    @property
    def early(self) -> int:
        """Number of steps that a target took before the preceding step."""
        return sum(target.early for target in self.targets.values())

    @property
    def second_rounds(self) -> int:
        """Number of deliveries without a sale."""
        return sum(target.second_rounds for target in self.targets.values())

    @property
    def is_good(self) -> bool:
        """True if each sale took its steps in sequence and once, and only poisoned sales are dead letters."""
        wrong = self.due or self.duplicates_in_log or self.early or self.second_rounds
        return bool(self.sent) and not (wrong or self.unexpected_letters)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON for a file."""
        return {
            "sent": self.sent,
            "appended": self.appended,
            "duplicates": self.duplicates_in_log,
            "dead_letters": len(self.dead_letters),
            "poisoned": len(self.poisoned),
            "lost": self.lost,
            "on_their_way": self.on_their_way,
            "early": self.early,
            "second_rounds": self.second_rounds,
            "append_latency_ms": asdict(self.append_latency_ms),
            "targets": {name: asdict(target) for name, target in self.targets.items()},
        }


@dataclass(slots=True, kw_only=True)
class Accounts:
    """Counts of the demo: the org's changes, and the events in the log and at the targets.

    A target rejects the `poisoned` records. `evidence` is set once the demo has
    ended, and shows the lost events.
    """

    scenario: Scenario
    steps: Steps
    tally: Tally
    poisoned: set[str] = field(default_factory=set)
    evidence: FlowState | None = None

    def report(self) -> DemoReport:
        """Compare the targets' own records with the org's changes.

        Without `evidence`, all missing events count as under way.
        """
        logged = self.tally.appended_ids if self.evidence is None else self.evidence.logged
        letters = tuple(self.tally.dead_letters.values())
        return DemoReport(
            sent=self.scenario.sent,
            appended=len(logged),
            unread=None if self.evidence is None else self.evidence.unread,
            duplicates_in_log=logged.total() - len(logged),
            dead_letters=letters,
            poisoned=frozenset(self.poisoned),
            append_latency_ms=_latency(self.tally.append_latency_s),
            targets={
                name: TargetCounts.of(
                    self.scenario.expected[name],
                    self.steps.taken[name],
                    [_record_of_letter(letter) for letter in letters if letter.subscriber == name],
                    ahead=None if self.evidence is None else self.evidence.ahead_of(name),
                    early=self.steps.early[name],
                    latency_ms=_latency(self.tally.delivery_latency_s.get(name, [])),
                )
                for name in BEFORE
            },
        )


def _lost(due: int, ahead: int | None) -> int:
    return 0 if ahead is None else max(0, due - ahead)


def _record_of_letter(letter: DeadLetter) -> str:
    # A dead letter without an event belongs to no sale.
    return str(letter.event and letter.event.subject)


def _latency(seconds: list[float]) -> Latency:
    return Latency(
        p50=round(percentile(seconds, 0.5) * 1000, 1), p99=round(percentile(seconds, 0.99) * 1000, 1)
    )
