"""Results of the ingest's part of the bench."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from streamer.demo.tally import percentile
from tests.bench.results import Part, Ratio, Row, measured

_AIM_MB = "200 MB"


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
    """The plain script on the beginning of the same backlog."""

    events: int
    events_per_s: float
    cpu_us_per_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drains(Part):
    """The same backlog drained by Streamer and by the bare probe in turn, and once by the plain script."""

    streamer: Sequence[Drain]
    probe: Sequence[Drain]
    plain: Plain

    @property
    def complete(self) -> bool:
        """True when both programs committed every event, once."""
        return all(drain.committed == drain.events for drain in (*self.streamer, *self.probe))

    def ratios(self) -> Sequence[Ratio]:
        """Return the ratios to the probe and to the plain script."""
        pairs = list(zip(self.streamer, self.probe, strict=True))
        cpu = median(drain.cpu_us_per_event for drain in self.streamer)
        rate = median(drain.events_per_s for drain in self.streamer)
        return [
            Ratio(
                what="drain, CPU an event: Streamer ÷ bare probe",
                each=[ours.cpu_us_per_event / bare.cpu_us_per_event for ours, bare in pairs],
                aim="≤ 1.15",
            ),
            Ratio(
                what="drain, events/s: Streamer ÷ bare probe",
                each=[ours.events_per_s / bare.events_per_s for ours, bare in pairs],
            ),
            Ratio(
                what="drain, CPU an event: plain script ÷ Streamer", each=[self.plain.cpu_us_per_event / cpu]
            ),
            Ratio(what="drain, events/s: Streamer ÷ plain script", each=[rate / self.plain.events_per_s]),
        ]

    def figures(self) -> Sequence[Row]:
        """Return the figures of all three."""
        committed = " ".join(f"{drain.committed:,}" for drain in self.streamer)
        events = f"{self.streamer[0].events:,}"
        return [
            Row(f"backlog of {events} events of 1 KB, committed", committed, events),
            *self._rows("Streamer", self.streamer),
            Row(
                "memory after the backlog",
                measured([each.resident_mb for each in self.streamer], "{:.0f} MB"),
                _AIM_MB,
            ),
            *self._rows("bare probe", self.probe),
            *self._rows(f"plain script, {self.plain.events:,} events", [self.plain]),
        ]

    def _rows(self, who: str, drains: Sequence[Drain | Plain]) -> list[Row]:
        return [
            Row(f"{who}: CPU an event", measured([each.cpu_us_per_event for each in drains], "{:.1f} µs")),
            Row(f"{who}: events/s", measured([each.events_per_s for each in drains], "{:,.0f}")),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A steady stream: from the commit in Salesforce to readable committed, and the CPU that it took."""

    events: int
    per_second: float
    transactions: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us_per_event: float
    cpu_us_per_transaction: float
    resident_mb: float

    @classmethod
    def of(
        cls,
        latencies_ms: Sequence[float],
        *,
        per_second: float,
        transactions: int,
        cpu_s: float,
        resident_mb: float,
    ) -> "Latency":
        """Return the percentiles of `latencies_ms`, and what each event and transaction cost."""
        return cls(
            events=len(latencies_ms),
            per_second=per_second,
            transactions=transactions,
            p50_ms=percentile([*latencies_ms], 0.5),
            p99_ms=percentile([*latencies_ms], 0.99),
            max_ms=max(latencies_ms),
            cpu_us_per_event=cpu_s / len(latencies_ms) * 1e6,
            cpu_us_per_transaction=cpu_s / transactions * 1e6,
            resident_mb=resident_mb,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies(Part):
    """The same stream, several times through one daemon, and its CPU a second before, when nothing came."""

    quiet_cpu_ms_per_s: float
    streams: Sequence[Latency]

    @property
    def complete(self) -> bool:
        """True when there is a measurement: the reader waits for every event."""
        return bool(self.streams)

    def figures(self) -> Sequence[Row]:
        """Return latencies, CPU and memory."""
        each, first = self.streams, self.streams[0]
        of = f"latency at {first.per_second:g} events/s"
        return [
            Row(f"{of}: p50", measured([one.p50_ms for one in each], "{:.1f} ms"), "8 ms"),
            Row(f"{of}: p99", measured([one.p99_ms for one in each], "{:.1f} ms"), "30 ms"),
            Row(f"{of}: the longest", measured([one.max_ms for one in each], "{:.1f} ms")),
            Row(
                f"{of}: CPU an event", measured([one.cpu_us_per_event for one in each], "{:.0f} µs"), "300 µs"
            ),
            Row(
                f"{of}: CPU a transaction",
                measured([one.cpu_us_per_transaction for one in each], "{:.0f} µs"),
            ),
            Row(
                f"{of}: events a transaction",
                measured([one.events / one.transactions for one in each], "{:.1f}"),
            ),
            Row("CPU a second when nothing comes", f"{self.quiet_cpu_ms_per_s:.1f} ms"),
            Row(f"{of}: memory", measured([one.resident_mb for one in each], "{:.0f} MB"), _AIM_MB),
        ]
