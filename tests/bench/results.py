"""What the bench found, for people and for scripts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

TARGET_CPU_US = 14.0
TARGET_P50_MS = 8.0
TARGET_P99_MS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A backlog that became committed events: `committed` as an independent reader counts them."""

    events: int
    committed: int
    events_per_s: float
    cpu_us_per_event: float
    resident_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """The plain script on the same backlog."""

    events: int
    events_per_s: float
    cpu_us_per_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From the commit in Salesforce to readable committed, in milliseconds."""

    events: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    resident_mb: float

    @classmethod
    def of(cls, latencies_ms: Sequence[float], *, per_second: float, resident_mb: float) -> "Latency":
        """Return the percentiles of `latencies_ms`."""
        ordered = sorted(latencies_ms)
        return cls(
            events=len(ordered),
            per_second=per_second,
            p50_ms=ordered[len(ordered) // 2],
            p99_ms=ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
            max_ms=ordered[-1],
            resident_mb=resident_mb,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of the bench; `drains` and `latencies` are in the order in which they were measured."""

    machine: dict[str, str]
    drains: Sequence[Drain]
    plain: Plain
    latencies: Sequence[Latency]

    @property
    def best_drain(self) -> Drain:
        """The one that cost the least."""
        return min(self.drains, key=lambda drain: drain.cpu_us_per_event)

    @property
    def best_latency(self) -> Latency:
        """The one with the lowest 99th percentile."""
        return min(self.latencies, key=lambda latency: latency.p99_ms)

    @property
    def complete(self) -> bool:
        """Whether every event of every drain was committed, and none twice."""
        return all(drain.committed == drain.events for drain in self.drains)

    def as_json(self) -> dict[str, Any]:
        """Return everything, the best runs named."""
        return {
            **asdict(self),
            "best_drain": asdict(self.best_drain),
            "best_latency": asdict(self.best_latency),
            "complete": self.complete,
        }

    def show(self, console: Console) -> None:
        """Print the machine and a table."""
        console.print(", ".join(f"{name} {value}" for name, value in self.machine.items()), style="dim")
        table = Table(title="Streamer's bench", title_justify="left")
        table.add_column("what")
        for heading in ("measured", "aim"):
            table.add_column(heading, justify="right")
        for row in self._rows():
            table.add_row(*row)
        console.print(table)

    def _rows(self) -> list[tuple[str, str, str]]:
        drain, latency, plain = self.best_drain, self.best_latency, self.plain
        ratio = plain.cpu_us_per_event / drain.cpu_us_per_event
        best = f"best of {len(self.drains)}"
        return [
            (
                f"backlog of {drain.events:,} events of 1 KB, committed",
                " ".join(f"{each.committed:,}" for each in self.drains),
                f"{drain.events:,}",
            ),
            (f"events/s ({best})", f"{drain.events_per_s:,.0f}", ""),
            (f"CPU an event ({best})", f"{drain.cpu_us_per_event:.1f} µs", f"{TARGET_CPU_US:g} µs"),
            ("memory after the backlog", f"{drain.resident_mb:.0f} MB", "200 MB"),
            (
                f"plain script, {plain.events:,} events: CPU an event",
                f"{plain.cpu_us_per_event:.1f} µs ({ratio:.0f} times)",
                "",
            ),
            ("plain script: events/s", f"{plain.events_per_s:,.0f}", ""),
            (
                f"latency at {latency.per_second:g} events/s, p50 (best of {len(self.latencies)})",
                f"{latency.p50_ms:.1f} ms",
                f"{TARGET_P50_MS:g} ms",
            ),
            ("latency, p99", f"{latency.p99_ms:.1f} ms", f"{TARGET_P99_MS:g} ms"),
            ("latency, the longest", f"{latency.max_ms:.1f} ms", ""),
            ("memory after the latency run", f"{latency.resident_mb:.0f} MB", "200 MB"),
        ]
