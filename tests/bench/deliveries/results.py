"""What the bench found of deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.results import Part, Row, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """A backlog of so many keys delivered as fast as can be, and then a stream at a steady rate.

    The latencies, of the stream, are from the append in the log to the
    target's acceptance, in milliseconds.
    """

    keys: int
    backlog: int
    per_s: float
    repeated: int
    out_of_order: int
    stream_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingKey:
    """How many deliveries a second there are when the target fails one of so many keys, and when none."""

    keys: int
    per_s_without: Sequence[float]
    per_s_with: Sequence[float]
    repeated: int
    out_of_order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The most memory that a daemon took which had so many events before it, and has `behind` still."""

    events: int
    behind: int
    resident_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResults(Part):
    """All of it."""

    delivering: Sequence[Delivering]
    plain_per_s: float
    failing: FailingKey
    backlog: Backlog

    @property
    def complete(self) -> bool:
        """Whether nothing came twice or in disorder."""
        found = [(each.repeated, each.out_of_order) for each in self.delivering]
        return {*found, (self.failing.repeated, self.failing.out_of_order)} == {(0, 0)}

    def figures(self) -> Sequence[Row]:
        """Return what is shown: what, measured, and the aim."""
        rate = self.delivering[0].stream_per_s
        return [
            *(
                Row(f"deliveries/s to a local HTTP target, {_keys(each.keys)}", f"{each.per_s:,.0f}", "")
                for each in self.delivering
            ),
            Row("plain script, one after the other: deliveries/s", f"{self.plain_per_s:,.0f}", ""),
            *(
                Row(
                    f"from the log to the target at {rate:g}/s, {_keys(each.keys)}: p50, p99",
                    f"{each.p50_ms:.1f} {each.p99_ms:.1f} ms",
                    "",
                )
                for each in self.delivering
            ),
            Row(
                f"deliveries/s with one of {self.failing.keys:,} keys failing",
                measured(self.failing.per_s_with, "{:,.0f}"),
                "",
            ),
            Row(
                "deliveries/s with none failing, in turn with these",
                measured(self.failing.per_s_without, "{:,.0f}"),
                "",
            ),
            Row(
                f"memory with {self.backlog.events:,} events behind",
                f"{self.backlog.resident_mb:.0f} MB",
                "200 MB",
            ),
        ]


def _keys(number: int) -> str:
    return "1 key" if number == 1 else f"{number:,} keys"
