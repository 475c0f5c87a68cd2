"""Samples of this process's metrics in the last hour.

A sample sums up each metric over all channels and subscribers. So a sample is a few
numbers, and an hour of samples takes less than 100 kB.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, pairwise

from prometheus_client import CollectorRegistry, ProcessCollector

from streamer.clock import Clock

EVERY_S = 10.0
"""Time between two samples."""

HOUR_S = 3600.0
"""Time span of the samples."""

NOTHING = "\N{EN DASH}"
"""Text for a missing value."""


class Series(StrEnum):
    """Metrics to sum up, by their names in Prometheus."""

    EVENTS = "streamer_ingest_events_total"
    DELIVERED = "streamer_deliveries_total"
    """Only successful deliveries."""
    FAILED = "streamer_failed_attempts_total"
    DEAD_LETTERS = "streamer_dead_letters_total"
    LAG = "streamer_delivery_lag_events"
    PARKED = "streamer_parked_events"
    AGE_SUM = "streamer_event_age_seconds_sum"
    AGE_COUNT = "streamer_event_age_seconds_count"
    TO_TARGET_SUM = "streamer_event_to_target_seconds_sum"
    TO_TARGET_COUNT = "streamer_event_to_target_seconds_count"
    MEMORY = "process_resident_memory_bytes"


_ONLY = {Series.DELIVERED: {"outcome": "delivered"}}

Values = Mapping[Series, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Values of all series, `at` in epoch seconds."""

    at: float
    values: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a line, or `None` for a gap; `at` in epoch seconds."""

    at: float
    value: float | None


@dataclass(slots=True)
class Samples:
    """Samples of the last hour, the newest last."""

    _kept: deque[Sample] = field(default_factory=lambda: deque(maxlen=int(HOUR_S / EVERY_S) + 1), init=False)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and drop samples that are older than an hour."""
        self._kept.append(sample)

    def with_one(self, sample: Sample) -> "Samples":
        """Return a copy of these samples with one more sample."""
        every = Samples()
        every._kept.extend(self._kept)
        every.add(sample)
        return every

    @property
    def span_s(self) -> float:
        """Time from the oldest to the newest sample."""
        return self._kept[-1].at - self._kept[0].at if self._kept else 0.0

    def levels(self, series: Series, *, scale: float = 1.0) -> Sequence[Point]:
        """Return the values of a gauge, divided by `scale`."""
        return [Point(at=each.at, value=each.values[series] / scale) for each in self._kept]

    def rates(self, series: Series, *, per_s: float = 1.0) -> Sequence[Point]:
        """Return a counter's growth per `per_s` seconds, between consecutive samples."""
        return [
            Point(at=after.at, value=_growth(before, after, series) * per_s / (after.at - before.at))
            for before, after in self._pairs()
        ]

    def means(self, total: Series, count: Series) -> Sequence[Point]:
        """Return a histogram's mean between consecutive samples, or `None` without observations."""
        points = []
        for before, after in self._pairs():
            observed = _growth(before, after, count)
            mean = _growth(before, after, total) / observed if observed else None
            points.append(Point(at=after.at, value=mean))
        return points

    def growth(self, series: Series, within_s: float) -> float:
        """Return a counter's growth in the last `within_s` seconds, or since the first sample."""
        begin = self._kept[-1].at - within_s - EVERY_S / 2 if self._kept else 0.0
        return sum(_growth(before, after, series) for before, after in self._pairs() if before.at >= begin)

    def _pairs(self) -> Sequence[tuple[Sample, Sample]]:
        # After the clock is set back, two samples can have no time between them.
        return [(before, after) for before, after in pairwise(self._kept) if after.at > before.at]


@dataclass(slots=True, kw_only=True)
class Sampler:
    """Takes a sample of `registry` every ten seconds."""

    registry: CollectorRegistry
    clock: Clock
    _kept: Samples = field(default_factory=Samples, init=False)
    # A registry can't find this collector by its metrics' names.
    _process: ProcessCollector = field(default_factory=lambda: ProcessCollector(registry=None), init=False)

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            self._kept.add(self._taken())
            await self.clock.sleep(EVERY_S)

    def samples(self) -> Samples:
        """Return the samples of the last hour, with a new sample of this moment."""
        return self._kept.with_one(self._taken())

    def _taken(self) -> Sample:
        return Sample(at=self.clock.now(), values=self._summed())

    def _summed(self) -> Values:
        """Return the sum of each series over all its labels, or 0 without samples."""
        sums = dict.fromkeys(Series, 0.0)
        names = {series.value: series for series in Series}
        found = self.registry.restricted_registry(list(names)).collect()
        for sample in chain.from_iterable(each.samples for each in chain(found, self._process.collect())):
            series = names.get(sample.name)
            if series is not None and _ONLY.get(series, {}).items() <= sample.labels.items():
                sums[series] += sample.value
        return sums


def _growth(before: Sample, after: Sample, series: Series) -> float:
    # Removing a subscriber also removes its counts, so a sum can fall.
    return max(0.0, after.values[series] - before.values[series])
