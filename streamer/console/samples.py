"""Samples of the processes' metrics in the last hour.

A sample sums up each metric over all channels and subscribers, and a few metrics for
each subscriber. With 60 subscribers, an hour of samples takes less than 2 MB.
"""

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, pairwise

from prometheus_client import CollectorRegistry, ProcessCollector

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.ports import ProcessRecord

EVERY_S = 10.0
"""Time between two samples."""

HOUR_S = 3600.0
"""Time span of the samples."""
_MINUTE_S = 60.0

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
    ATTEMPT_SUM = "streamer_delivery_seconds_sum"
    ATTEMPT_COUNT = "streamer_delivery_seconds_count"
    MEMORY = "process_resident_memory_bytes"


_LEVELS = frozenset({Series.LAG, Series.PARKED, Series.MEMORY})
"""Series whose values can fall; all others count."""

_ONLY = {Series.DELIVERED: {"outcome": "delivered"}}

_OF_SUBSCRIBER = (
    Series.DELIVERED,
    Series.FAILED,
    Series.DEAD_LETTERS,
    Series.LAG,
    Series.PARKED,
    Series.TO_TARGET_SUM,
    Series.TO_TARGET_COUNT,
    Series.ATTEMPT_SUM,
    Series.ATTEMPT_COUNT,
)

Values = Mapping[Series, float]


@dataclass(frozen=True, slots=True)
class SubscriberValues:
    """Values of each subscriber, packed: an hour of dictionaries would take ten times the memory."""

    names: tuple[str, ...] = ()
    numbers: "array[float]" = field(default_factory=lambda: array("d"))

    @classmethod
    def of(cls, values: Mapping[str, Values], names: tuple[str, ...]) -> "SubscriberValues":
        """Pack `values`; equal `names` of an earlier sample are shared."""
        ordered = tuple(values)
        numbers = array("d", [each[series] for each in values.values() for series in _OF_SUBSCRIBER])
        return cls(names if names == ordered else ordered, numbers)

    def values(self, name: str) -> Values | None:
        """Return all values of a subscriber, or `None` if the sample has none."""
        if name not in self.names:
            return None
        begin = self.names.index(name) * len(_OF_SUBSCRIBER)
        return dict(zip(_OF_SUBSCRIBER, self.numbers[begin : begin + len(_OF_SUBSCRIBER)], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Values of all series, `at` in epoch seconds."""

    at: float
    values: Values
    subscribers: SubscriberValues = field(default_factory=SubscriberValues)

    def as_json(self) -> JsonObject:
        """Return the sample without its time, for other processes."""
        return {
            "values": {series.value: value for series, value in self.values.items()},
            "subscribers": list(self.subscribers.names),
            "numbers": self.subscribers.numbers.tolist(),
        }

    @classmethod
    def of_record(cls, record: ProcessRecord) -> "Sample | None":
        """Return the sample that another process has reported, or `None` if it can't be read."""
        try:
            body = record.body or {}
            values = {series: float(body["values"].get(series.value, 0.0)) for series in Series}
            names, numbers = tuple(map(str, body["subscribers"])), array("d", body["numbers"])
        except (AttributeError, LookupError, TypeError, ValueError):
            return None
        if len(numbers) != len(names) * len(_OF_SUBSCRIBER):
            # Another version of Streamer samples other series of a subscriber.
            names, numbers = (), array("d")
        return cls(at=record.at, values=values, subscribers=SubscriberValues(names, numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a line, or `None` for a gap; `at` in epoch seconds."""

    at: float
    value: float | None


@dataclass(slots=True)
class Samples:
    """Samples of the last hour, the newest last, usually one each `every_s` seconds."""

    every_s: float = EVERY_S
    _kept: deque[Sample] = field(default_factory=lambda: deque(maxlen=int(HOUR_S / EVERY_S) + 1), init=False)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and drop samples that are older than an hour."""
        self._kept.append(sample)

    @classmethod
    def of_records(cls, records: Iterable[ProcessRecord]) -> "Samples":
        """Return the samples that another process has reported, without those that can't be read."""
        found = cls()
        for each in sorted(filter(None, map(Sample.of_record, records)), key=lambda each: each.at):
            found.add(each)
        return found

    @property
    def oldest_at(self) -> float:
        """Time of the oldest sample, or 0 without samples."""
        return self._kept[0].at if self._kept else 0.0

    @property
    def newest_at(self) -> float:
        """Time of the newest sample, or 0 without samples."""
        return self._kept[-1].at if self._kept else 0.0

    def with_one(self, sample: Sample) -> "Samples":
        """Return a copy of these samples with one more sample."""
        every = Samples()
        every._kept.extend(self._kept)
        every.add(sample)
        return every

    def of(self, subscriber: str, *, every: int = 1) -> "Samples":
        """Return the samples of one subscriber, which have only the series of subscribers.

        The result has the newest sample, every `every`th sample before it, and the
        oldest sample.
        """
        some, kept = Samples(), [*self._kept]
        begin = kept[:1] if (len(kept) - 1) % every else []
        for each in [*begin, *kept[::-every][::-1]]:
            # A series begins with its first count.
            values = each.subscribers.values(subscriber) or dict.fromkeys(_OF_SUBSCRIBER, 0.0)
            some.add(Sample(at=each.at, values=values))
        return some

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the subscribers in the newest sample."""
        return self._kept[-1].subscribers.names if self._kept else ()

    @property
    def span_s(self) -> float:
        """Time from the oldest to the newest sample."""
        return self._kept[-1].at - self._kept[0].at if self._kept else 0.0

    def levels(self, series: Series, *, scale: float = 1.0) -> Sequence[Point]:
        """Return the values of a gauge, divided by `scale`; `None` where no process has reported."""
        found = [(each.at, each.values.get(series)) for each in self._kept]
        return [Point(at=at, value=None if value is None else value / scale) for at, value in found]

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

    def counts(self, series: Series, *, until: float, span_s: float, parts: int) -> Sequence[float]:
        """Return a counter's growth in each of `parts` equal parts of the `span_s` seconds before `until`."""
        counts = [0.0] * parts
        for before, after in self._pairs():
            part = math.floor((after.at - until + span_s) / span_s * parts)
            if 0 <= part <= parts:
                # The newest sample lies on the end of the last part.
                counts[min(part, parts - 1)] += _growth(before, after, series)
        return counts

    def numbers(self) -> Mapping[str, float]:
        """Return the growth of a few counters in the last minute; of dead letters, in the last hour."""
        return {
            "events": self.growth(Series.EVENTS, _MINUTE_S),
            "delivered": self.growth(Series.DELIVERED, _MINUTE_S),
            "failed": self.growth(Series.FAILED, _MINUTE_S),
            "dead_letters": self.growth(Series.DEAD_LETTERS, HOUR_S),
        }

    def minutes(self, steps: Sequence[float]) -> Iterator[Values]:
        """Yield, for each of the rising times `steps`, the last levels, and counts since the first sample."""
        kept = deque(self._kept)
        counted: dict[Series, float] = {}
        last: Sample | None = None
        for at in steps:
            while kept and kept[0].at <= at:
                sample = kept.popleft()
                for series in sample.values.keys() - _LEVELS:
                    grown = 0.0 if last is None else _growth(last, sample, series)
                    counted[series] = counted.get(series, 0.0) + grown
                last = sample
            # A process that has gone keeps its counts, and has no levels any more.
            is_there = last is not None and last.at > at - 2 * _MINUTE_S
            levels = {key: value for key, value in last.values.items() if key in _LEVELS} if last else {}
            yield {**counted, **(levels if is_there else {})}

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
            self._kept.add(self.newest())
            await self.clock.sleep(EVERY_S)

    def samples(self) -> Samples:
        """Return the samples of the last hour, with a new sample of this moment."""
        return self._kept.with_one(self.newest())

    def newest(self) -> Sample:
        """Return a sample of this moment: the sum of each series over all labels, and for each subscriber."""
        sums = dict.fromkeys(Series, 0.0)
        of_each: dict[str, dict[Series, float]] = {}
        names = {series.value: series for series in Series}
        found = self.registry.restricted_registry(list(names)).collect()
        for sample in chain.from_iterable(each.samples for each in chain(found, self._process.collect())):
            series = names.get(sample.name)
            if series is None or not _ONLY.get(series, {}).items() <= sample.labels.items():
                continue
            sums[series] += sample.value
            # A dead letter of ingest has no subscriber.
            if (subscriber := sample.labels.get("subscriber")) and series in _OF_SUBSCRIBER:
                values = of_each.setdefault(subscriber, dict.fromkeys(_OF_SUBSCRIBER, 0.0))
                values[series] += sample.value
        packed = SubscriberValues.of(of_each, self._kept.names)
        return Sample(at=self.clock.now(), values=sums, subscribers=packed)


def _growth(before: Sample, after: Sample, series: Series) -> float:
    # Removing a subscriber also removes its counts, so a sum can fall.
    return max(0.0, after.values[series] - before.values[series])


_SILENT_S = 3 * _MINUTE_S


def summed(shares: Sequence[Samples], now: float) -> Samples:
    """Return the sum of several processes' samples, one for each minute of the last hour.

    The first of `shares` belongs to this process. Others report once a minute, so the
    sum ends at the last minute that every process which still reports has told. Counters
    begin at zero, because a sum of counts would jump when a process comes or goes.
    """
    told = [each for each in shares if each.newest_at]
    if len(told) <= 1:
        return next(iter(told), Samples())
    end = min(each.newest_at for each in told if each.newest_at > now - _SILENT_S or each is shares[0])
    steps = [end - _MINUTE_S * number for number in range(int(HOUR_S / _MINUTE_S), -1, -1)]
    begin = min(each.oldest_at for each in told)
    total = Samples(every_s=_MINUTE_S)
    for at, *values in zip(steps, *(each.minutes(steps) for each in told), strict=True):
        if at >= begin:
            series = dict.fromkeys(key for each in values for key in each)
            sums = {key: sum(each.get(key, 0.0) for each in values) for key in series}
            total.add(Sample(at=at, values=sums))
    return total
