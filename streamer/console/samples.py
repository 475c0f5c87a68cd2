"""Samples of this process's metrics in the last hour.

The series are fixed, whatever the number of channels and subscribers: their
values are summed up. A sample is a few numbers, so an hour of them takes less
than 100 kB.
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
"""Time that the samples cover."""

NOTHING = "\N{EN DASH}"
"""Text for a missing value."""


class Series(StrEnum):
    """Sum of the samples of one metric, by the metric's name as Prometheus has it."""

    EVENTS = "streamer_ingest_events_total"
    DELIVERED = "streamer_deliveries_total"
    """Only what was delivered."""
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
    """One value of a line, `at` in epoch seconds; `None` where there is none."""

    at: float
    value: float | None


@dataclass(slots=True)
class Samples:
    """Samples of the last hour, the newest last."""

    _kept: deque[Sample] = field(default_factory=lambda: deque(maxlen=int(HOUR_S / EVERY_S) + 1), init=False)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and forget one that is older than an hour."""
        self._kept.append(sample)

    def with_one(self, sample: Sample) -> "Samples":
        """Return these samples and one more, which is not kept here."""
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
        """Return by how much a counter grew in `per_s` seconds, between each sample and the one before it."""
        return [
            Point(at=after.at, value=_growth(before, after, series) * per_s / (after.at - before.at))
            for before, after in self._pairs()
        ]

    def means(self, total: Series, count: Series) -> Sequence[Point]:
        """Return the mean of what a histogram observed since the sample before; no value without any."""
        points = []
        for before, after in self._pairs():
            observed = _growth(before, after, count)
            mean = _growth(before, after, total) / observed if observed else None
            points.append(Point(at=after.at, value=mean))
        return points

    def growth(self, series: Series, within_s: float) -> float:
        """Return by how much a counter grew in the last `within_s` seconds, as far as that was sampled."""
        begin = self._kept[-1].at - within_s - EVERY_S / 2 if self._kept else 0.0
        return sum(_growth(before, after, series) for before, after in self._pairs() if before.at >= begin)

    def _pairs(self) -> Sequence[tuple[Sample, Sample]]:
        # A clock that is set back leaves no time between two samples.
        return [(before, after) for before, after in pairwise(self._kept) if after.at > before.at]


@dataclass(slots=True, kw_only=True)
class Sampler:
    """Takes a sample of `registry` every ten seconds."""

    registry: CollectorRegistry
    clock: Clock
    _kept: Samples = field(default_factory=Samples, init=False)
    # A registry does not find this collector by the names of its metrics.
    _process: ProcessCollector = field(default_factory=lambda: ProcessCollector(registry=None), init=False)

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            self._kept.add(self._taken())
            await self.clock.sleep(EVERY_S)

    def samples(self) -> Samples:
        """Return the samples of the last hour, and one of this moment."""
        return self._kept.with_one(self._taken())

    def _taken(self) -> Sample:
        return Sample(at=self.clock.now(), values=self._summed())

    def _summed(self) -> Values:
        """Return the sum of each series over all of its labels; 0 for one that has no sample."""
        sums = dict.fromkeys(Series, 0.0)
        names = {series.value: series for series in Series}
        found = self.registry.restricted_registry(list(names)).collect()
        for sample in chain.from_iterable(each.samples for each in chain(found, self._process.collect())):
            series = names.get(sample.name)
            if series is not None and _ONLY.get(series, {}).items() <= sample.labels.items():
                sums[series] += sample.value
        return sums


def _growth(before: Sample, after: Sample, series: Series) -> float:
    # A subscriber that is removed takes its counts along.
    return max(0.0, after.values[series] - before.values[series])
