"""Report of the demo, for people and for scripts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streamer.demo.scenario import Scenario
from streamer.demo.tally import Tally, percentile
from streamer.events import SubscriberName
from streamer.sandbox.targets.receiver import Receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times since the commit in Salesforce, in milliseconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """Counts of one target: expected, delivered and repeated events."""

    expected: int
    delivered: int
    repeated: int
    latency_ms: Latency

    @property
    def lost(self) -> int:
        """Number of expected events that never arrived."""
        return max(0, self.expected - self.delivered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Counts at the org, in the log and at each target."""

    sent: int
    appended: int
    duplicates_in_log: int
    dead_letters: int
    append_latency_ms: Latency
    targets: Mapping[SubscriberName, TargetReport]

    @property
    def lost(self) -> int:
        """Number of events that never reached the log, and of deliveries that never reached their target."""
        return max(0, self.sent - self.appended) + sum(target.lost for target in self.targets.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report for a file."""
        return {
            "sent": self.sent,
            "appended": self.appended,
            "duplicates": self.duplicates_in_log,
            "dead_letters": self.dead_letters,
            "lost": self.lost,
            "append_latency_ms": asdict(self.append_latency_ms),
            "targets": {
                name: {**asdict(target), "lost": target.lost} for name, target in self.targets.items()
            },
        }


def report_of(scenario: Scenario, tally: Tally, receivers: Mapping[SubscriberName, Receiver]) -> Report:
    """Compare the receivers' own journals with the changes in the org."""
    distinct = len(tally.appended_ids)
    return Report(
        sent=scenario.sent,
        appended=distinct,
        duplicates_in_log=tally.appended_ids.total() - distinct,
        dead_letters=tally.dead_letters,
        append_latency_ms=_latency(tally.append_latency_s),
        targets={
            name: TargetReport(
                expected=scenario.expected[name],
                delivered=len(receiver.journal.accepted),
                repeated=sum(receiver.journal.duplicates.values()),
                latency_ms=_latency(tally.delivery_latency_s.get(name, [])),
            )
            for name, receiver in receivers.items()
        },
    )


def _latency(seconds: list[float]) -> Latency:
    return Latency(
        p50=round(percentile(seconds, 0.5) * 1000, 1), p99=round(percentile(seconds, 0.99) * 1000, 1)
    )
