"""Results of the deliveries' part of the bench."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from streamer.demo.tally import percentile
from tests.bench.results import Part, Ratio, Row, measured

STALL_MS = 50.0
"""A delivery that takes longer than this belongs to a stall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One backlog of `keys` keys, delivered at full speed.

    Rate and CPU are measured from the first delivery to the last; memory is the most of the whole run.
    """

    keys: int
    events: int
    per_s: float
    cpu_us_per_delivery: float
    resident_mb: float
    repeated: int
    out_of_order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates(Part):
    """The same backlogs, by the number of their keys, delivered by Streamer and the plain script in turn."""

    streamer: Mapping[int, Sequence[Rate]]
    script: Mapping[int, Sequence[Rate]]

    @property
    def complete(self) -> bool:
        """True when neither program repeated an event or broke the order of a key."""
        each = [rate for rates in (*self.streamer.values(), *self.script.values()) for rate in rates]
        return all((rate.repeated, rate.out_of_order) == (0, 0) for rate in each)

    def ratios(self) -> Sequence[Ratio]:
        """Return the ratios to the script, for each number of keys."""
        found = []
        for keys, ours in self.streamer.items():
            pairs = list(zip(ours, self.script[keys], strict=True))
            found += [
                Ratio(
                    what=f"deliveries/s, {_keys(keys)}: Streamer ÷ plain script",
                    each=[one.per_s / other.per_s for one, other in pairs],
                    aim="≥ 0.9",
                ),
                Ratio(
                    what=f"CPU a delivery, {_keys(keys)}: Streamer ÷ plain script",
                    each=[one.cpu_us_per_delivery / other.cpu_us_per_delivery for one, other in pairs],
                    aim="≤ 1.4",
                ),
            ]
        return found

    def figures(self) -> Sequence[Row]:
        """Return rate, CPU and memory of both."""
        return [
            row
            for keys, ours in self.streamer.items()
            for who, rates in (("Streamer", ours), ("plain script", self.script[keys]))
            for row in _rows(f"{who} to a local HTTP target, {_keys(keys)}", rates)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """A steady stream: from readable in the log to received by the target, in milliseconds.

    An event is taken as readable when its append returns; one that the target
    has by then counts as 0.
    A stall is a run of events in the stream that each took longer than `STALL_MS`.
    """

    keys: int
    events: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    stalls: int
    repeated: int
    out_of_order: int

    @classmethod
    def of(
        cls,
        latencies_ms: Sequence[float],
        *,
        keys: int,
        per_second: float,
        repeated: int,
        out_of_order: int,
    ) -> "Trickle":
        """Return the percentiles and the stalls of `latencies_ms`, which are in the order of the stream."""
        return cls(
            keys=keys,
            events=len(latencies_ms),
            per_second=per_second,
            p50_ms=percentile([*latencies_ms], 0.5),
            p99_ms=percentile([*latencies_ms], 0.99),
            max_ms=max(latencies_ms),
            stalls=sum(stalls for stalls, _ in groupby(latency > STALL_MS for latency in latencies_ms)),
            repeated=repeated,
            out_of_order=out_of_order,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickles(Part):
    """Streams through one Streamer, and then the same through one plain script, by the number of keys.

    A delay that both have comes from the machine.
    """

    streamer: Mapping[int, Sequence[Trickle]]
    script: Mapping[int, Sequence[Trickle]]

    @property
    def complete(self) -> bool:
        """True when nothing was repeated or out of order."""
        each = [one for streams in (*self.streamer.values(), *self.script.values()) for one in streams]
        return all((stream.repeated, stream.out_of_order) == (0, 0) for stream in each)

    def figures(self) -> Sequence[Row]:
        """Return latencies and stalls of both."""
        return [
            row
            for keys, ours in self.streamer.items()
            for who, streams in (("Streamer", ours), ("plain script", self.script[keys]))
            for row in _latency_rows(f"{who} at {ours[0].per_second:g}/s, {_keys(keys)}", streams)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingKey(Part):
    """Deliveries a second to a target that fails one of `keys` keys, and to one that fails none."""

    keys: int
    per_s_without: Sequence[float]
    per_s_with: Sequence[float]
    repeated: int
    out_of_order: int

    @property
    def complete(self) -> bool:
        """True when nothing was repeated or out of order."""
        return (self.repeated, self.out_of_order) == (0, 0)

    def ratios(self) -> Sequence[Ratio]:
        """Return the rate with a failing key ÷ the rate without."""
        pairs = zip(self.per_s_with, self.per_s_without, strict=True)
        return [
            Ratio(
                what=f"deliveries/s, 1 of {self.keys:,} keys failing ÷ none",
                each=[failing / none for failing, none in pairs],
            )
        ]

    def figures(self) -> Sequence[Row]:
        """Return both rates."""
        return [
            Row(
                f"deliveries/s with one of {self.keys:,} keys failing",
                measured(self.per_s_with, "{:,.0f}"),
            ),
            Row(
                "deliveries/s with none failing, in turn with these",
                measured(self.per_s_without, "{:,.0f}"),
            ),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyTarget(Part):
    """Second half of each round, at a target that serves `workers` at once in `service_s` seconds."""

    workers: int
    service_s: float
    per_s: Sequence[float]
    wait_s: Sequence[float]

    @property
    def complete(self) -> bool:
        """True: what is missing would not have ended the round."""
        return True

    def ratios(self) -> Sequence[Ratio]:
        """Return what of the target was used, and how long it took for an answer."""
        capacity = self.workers / self.service_s
        of = f"target of {self.workers} workers"
        return [
            Ratio(
                what=f"deliveries/s ÷ what the {of} can do",
                each=[per_s / capacity for per_s in self.per_s],
                aim="≥ 0.9",
            ),
            Ratio(
                what=f"median time of an answer of the {of} ÷ its time without a queue",
                each=[wait_s / self.service_s for wait_s in self.wait_s],
                aim="≤ 1.5",
            ),
        ]

    def figures(self) -> Sequence[Row]:
        """Return both in their units."""
        of = f"target of {self.workers} workers and {self.service_s * 1000:.0f} ms"
        return [
            Row(f"{of}: deliveries/s", measured(self.per_s, "{:,.0f}")),
            Row(f"{of}: median time of an answer", measured([s * 1000 for s in self.wait_s], "{:.0f} ms")),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog(Part):
    """The most memory that a daemon took with `events` events to deliver; `behind` of them are left."""

    events: int
    behind: int
    resident_mb: float

    @property
    def complete(self) -> bool:
        """True when the daemon was behind all the time."""
        return self.behind > 0

    def figures(self) -> Sequence[Row]:
        """Return the memory."""
        return [Row(f"memory with {self.events:,} events behind", f"{self.resident_mb:.0f} MB", "200 MB")]


def _rows(of: str, rates: Sequence[Rate]) -> list[Row]:
    return [
        Row(f"{of}: deliveries/s", measured([one.per_s for one in rates], "{:,.0f}")),
        Row(f"{of}: CPU a delivery", measured([one.cpu_us_per_delivery for one in rates], "{:.0f} µs")),
        Row(f"{of}: memory", measured([one.resident_mb for one in rates], "{:.0f} MB")),
    ]


def _latency_rows(of: str, streams: Sequence[Trickle]) -> list[Row]:
    return [
        Row(f"{of}: p50", measured([one.p50_ms for one in streams], "{:.1f} ms")),
        Row(f"{of}: p99", measured([one.p99_ms for one in streams], "{:.1f} ms")),
        Row(f"{of}: worst", measured([one.max_ms for one in streams], "{:.1f} ms"), f"{STALL_MS:g} ms"),
        Row(f"{of}: stalls", " ".join(f"{one.stalls}" for one in streams), "0"),
    ]


def _keys(number: int) -> str:
    return "1 key" if number == 1 else f"{number:,} keys"
