"""What the bench found, for people and for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from streamer.demo.tally import percentile
from tests.bench.deliveries.results import DeliveryResults

TARGET_CPU_US = 14.0
TARGET_P50_MS = 8.0
TARGET_P99_MS = 30.0
TARGET_KILLED_S = 10.0
TARGET_STOPPED_S = 2.0


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
        return cls(
            events=len(latencies_ms),
            per_second=per_second,
            p50_ms=percentile([*latencies_ms], 0.5),
            p99_ms=percentile([*latencies_ms], 0.99),
            max_ms=max(latencies_ms),
            resident_mb=resident_mb,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeovers:
    """What befell the process that read a channel, and how long events waited then for the other one.

    `let_go_s` is how long a frozen one, once woken, still believed itself the
    owner. `committed` counts each event once, as an independent reader does.
    """

    session_s: float
    killed_s: Sequence[float]
    stopped_s: Sequence[float]
    frozen_s: Sequence[float]
    let_go_s: Sequence[float]
    sent: int
    committed: int
    repeated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """Processes that were replaced one after the other while events streamed to the log and a target.

    `paused_s` is, for each channel, the longest that an event waited then until
    it could be read as committed. `committed` and `delivered` count each event
    once; what came again is in the other two.
    """

    processes: int
    session_s: float
    paused_s: Mapping[str, float]
    sent: int
    committed: int
    delivered: int
    repeated_in_log: int
    repeated_to_target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of the bench; `drains` and `latencies` are in the order in which they were measured."""

    machine: dict[str, str]
    drains: Sequence[Drain]
    plain: Plain
    latencies: Sequence[Latency]
    takeovers: Takeovers
    rolling: Rolling
    deliveries: DeliveryResults

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
        """Whether every event was committed, and none twice, whatever processes came and went."""
        takeovers, rolling = self.takeovers, self.rolling
        return (
            all(drain.committed == drain.events for drain in self.drains)
            and (takeovers.committed, takeovers.repeated) == (takeovers.sent, 0)
            and rolling.committed == rolling.delivered == rolling.sent
            and rolling.repeated_in_log == rolling.repeated_to_target == 0
            and self.deliveries.complete
        )

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
        for row in [*self._rows(), *self._takeover_rows(), *self._rolling_rows(), *self.deliveries.rows()]:
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
            (
                f"CPU an event ({best})",
                f"{drain.cpu_us_per_event:.1f} µs"
                + _each([f"{one.cpu_us_per_event:.1f}" for one in self.drains]),
                f"{TARGET_CPU_US:g} µs",
            ),
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
            (
                "latency, p99",
                f"{latency.p99_ms:.1f} ms" + _each([f"{one.p99_ms:.1f}" for one in self.latencies]),
                f"{TARGET_P99_MS:g} ms",
            ),
            ("latency, the longest", f"{latency.max_ms:.1f} ms", ""),
            ("memory after the latency run", f"{latency.resident_mb:.0f} MB", "200 MB"),
        ]

    def _takeover_rows(self) -> list[tuple[str, str, str]]:
        each = self.takeovers
        of = f"sessions of {each.session_s:g} s, median of {len(each.killed_s)}"
        return [
            (f"owner killed in mid-transaction ({of})", _seconds(each.killed_s), f"{TARGET_KILLED_S:g} s"),
            ("owner stopped", _seconds(each.stopped_s), f"{TARGET_STOPPED_S:g} s"),
            ("owner frozen in mid-transaction", _seconds(each.frozen_s), f"{TARGET_KILLED_S:g} s"),
            ("frozen owner, from waking to letting go", _in_ms(each.let_go_s), ""),
            (
                "events sent meanwhile, committed, repeated",
                f"{each.sent:,} {each.committed:,} {each.repeated:,}",
                "",
            ),
        ]

    def _rolling_rows(self) -> list[tuple[str, str, str]]:
        each = self.rolling
        return [
            *(
                (f"rolling restart of {each.processes}: longest pause of {channel}", f"{paused_s:.2f} s", "")
                for channel, paused_s in each.paused_s.items()
            ),
            (
                "events sent meanwhile, committed, delivered",
                f"{each.sent:,} {each.committed:,} {each.delivered:,}",
                "",
            ),
            (
                "repeated in the log, to the target",
                f"{each.repeated_in_log:,} {each.repeated_to_target:,}",
                "0 0",
            ),
        ]


def _seconds(measured: Sequence[float]) -> str:
    return f"{median(measured):.2f} s" + _each([f"{one:.2f}" for one in measured])


def _in_ms(measured: Sequence[float]) -> str:
    return f"{median(measured) * 1000:.0f} ms" + _each([f"{one * 1000:.0f}" for one in measured])


def _each(measured: Sequence[str]) -> str:
    return f" ({' '.join(measured)})" if len(measured) > 1 else ""
