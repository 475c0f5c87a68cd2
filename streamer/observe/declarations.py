"""Declarations of metrics, each with Streamer's prefix, in one registry."""

from bisect import bisect_left
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class BucketHistogram(Histogram):
    """Histogram that finds the bucket of a value by bisection, which is faster than testing each bound."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count `amount`, as `Histogram.observe` does."""
        if exemplar is not None:
            super().observe(amount, exemplar)
            return
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)


@dataclass(frozen=True, slots=True)
class Declarations:
    """Declares metrics in `registry`; a name is given without the prefix `streamer_`."""

    registry: CollectorRegistry

    def counter(self, name: str, says: str, *labels: str) -> Counter:
        """Return a new counter."""
        return Counter(f"streamer_{name}", says, labels, registry=self.registry)

    def gauge(self, name: str, says: str, *labels: str) -> Gauge:
        """Return a new gauge."""
        return Gauge(f"streamer_{name}", says, labels, registry=self.registry)

    def histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Return a new histogram with the upper bounds `buckets`."""
        name = f"streamer_{name}"
        return BucketHistogram(name, says, labels, buckets=buckets, registry=self.registry)
