"""Results of the routing's part of the bench."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.deliveries.results import Rate
from tests.bench.results import Part, Ratio, Row, measured

_AIM_US = "100 µs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Events that were routed to `subscribers` and shaped for those that they were for, in one process.

    `cpu_us_per_event` is the CPU of one event at all subscribers;
    `reading_us_per_record` that of its record, which each subscriber reads
    whose types match; `jmespath_us_per_event` that of their `when` where
    jmespath alone evaluates them. `shaped` is how many deliveries were made.
    """

    subscribers: int
    matching: int
    events: int
    shaped: int
    cpu_us_per_event: float
    reading_us_per_record: float
    jmespath_us_per_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriched:
    """Events that a daemon delivered with records of the org; `cached` is the share that needed no call."""

    rate: Rate
    cached: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing(Part):
    """Routing alone, and deliveries with routing, enrichment and projection; some in turn with plain ones."""

    routed: Sequence[Routed]
    enriched: Sequence[Enriched]
    plain: Sequence[Rate]

    @property
    def complete(self) -> bool:
        """True when each event was shaped for those it was for, and delivered once and in order."""
        rates = [*(each.rate for each in self.enriched), *self.plain]
        return all(each.shaped == each.events * each.matching for each in self.routed) and all(
            (rate.repeated, rate.out_of_order) == (0, 0) for rate in rates
        )

    def ratios(self) -> Sequence[Ratio]:
        """Return what routing takes beside jmespath, and what all of it adds to a delivery."""
        routing = Ratio(
            what="CPU an event: routing, shaping included ÷ its predicates by jmespath alone",
            each=[each.cpu_us_per_event / each.jmespath_us_per_event for each in self.routed],
        )
        if not self.plain:
            return [routing]
        pairs = zip(self.enriched, self.plain, strict=True)
        whole = Ratio(
            what="CPU a delivery: routed, enriched and projected ÷ as it is",
            each=[ours.rate.cpu_us_per_delivery / plain.cpu_us_per_delivery for ours, plain in pairs],
        )
        return [routing, whole]

    def figures(self) -> Sequence[Row]:
        """Return the CPU of an event in each."""
        first = self.routed[0]
        of = f"{first.subscribers} subscribers ({first.matching} match)"
        rates = [each.rate for each in self.enriched]
        whole = "routed, enriched, projected and delivered"
        rows = [
            Row(
                f"routing to {of}: CPU an event",
                measured([each.cpu_us_per_event for each in self.routed], "{:.1f} µs"),
                _AIM_US,
            ),
            Row(
                "reading its record, at each subscriber whose types match: CPU",
                measured([each.reading_us_per_record for each in self.routed], "{:.1f} µs"),
            ),
            Row(
                "its predicates by jmespath alone: CPU an event",
                measured([each.jmespath_us_per_event for each in self.routed], "{:.1f} µs"),
            ),
            Row(
                f"{whole}: CPU an event", measured([each.cpu_us_per_delivery for each in rates], "{:.0f} µs")
            ),
            Row(f"{whole}: events/s", measured([each.per_s for each in rates], "{:,.0f}")),
            Row(f"{whole}: cached", measured([100 * each.cached for each in self.enriched], "{:.1f} %")),
        ]
        if self.plain:
            plain = measured([each.cpu_us_per_delivery for each in self.plain], "{:.0f} µs")
            rows.append(Row("delivered as it is, in turn with these: CPU an event", plain))
        return rows
