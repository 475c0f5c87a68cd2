"""Declarations of metrics, and handles for the series of one channel or one subscriber."""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamer.clock import Clock
from streamer.events import (
    DeadLetter,
    Delivered,
    Event,
    FailureClass,
    HoleCause,
    Outcome,
    Skip,
    Stage,
    SubscriberName,
)
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.ports import Appended

TEXT_RESULTS = ("applied", "reread", "marked")
LOOKUP_RESULTS = ("cached", "read", "refused", "failed")
CALL_RESULTS = ("answered", "refused", "failed")
INGEST_LETTERS = ("unreadable", "refused_by_log")
DISPATCH_LETTERS = ("rejected", "retries_exhausted", "incomplete", "parked_lost", "unreadable", "too_large")
"""Streamer's own reasons for skipping an event; a plugin can add more."""
SPAN_RESULTS = ("exported", "failed", "dropped")
DELIVERY_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LOOKUP_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)

Key = TypeVar("Key")


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


class CountersByKey(dict[Key, Counter]):
    """Counters of one metric by the value of a label. A series begins with its first use.

    Series for all errors would make each scrape large, and most subscribers have only
    few kinds of errors. An alert on such a counter must treat a new series as an
    increase, because `rate` sees no increase in the first sample.
    """

    def __init__(self, series: Callable[[Key], Counter]) -> None:
        super().__init__()
        self._series = series

    def __missing__(self, key: Key) -> Counter:
        """Begin the series of `key`."""
        counter = self[key] = self._series(key)
        return counter


@dataclass(slots=True)
class LabelValues:
    """Bound on label values from outside of Streamer.

    A value becomes `other` if it is not a lower-case word of at most 40 characters,
    or if `limit` different values are already in use.
    """

    limit: int = 64
    _known: set[str] = field(default_factory=set)

    def bounded(self, word: str) -> str:
        """Return `word`, or `other` if the word is not admitted."""
        if word in self._known:
            return word
        if len(self._known) >= self.limit or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", word):
            return "other"
        self._known.add(word)
        return word


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendSeries:
    """Series of a channel's appends."""

    batches: Counter
    events: Counter
    append_seconds: Histogram
    age_seconds: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGauges:
    """Gauges for the state of the channel `path`.

    The gauges have no series while another process owns the channel.
    """

    path: str
    verified: Gauge
    expires: Gauge
    ups: Gauge
    owned: Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelMetrics:
    """Series of one channel."""

    clock: Clock
    appends: AppendSeries
    state: ChannelGauges
    holes: CountersByKey[HoleCause]
    unrepaired: CountersByKey[HoleCause]
    texts: Mapping[str, Counter]
    dead_letters: Counter
    label_values: LabelValues

    def taken(self, events: Sequence[Event], read_at: float) -> None:
        """Do nothing; events are counted only once they are in the log."""

    def appended(self, appended: Appended, seconds: float) -> None:
        """Count an append that became durable after `seconds`."""
        self.appends.batches.inc()
        self.appends.append_seconds.observe(seconds)
        self.appends.events.inc(appended.events)
        if appended.first is not None:
            # The first event is the oldest. Each append has only one observation, because
            # measuring every event would slow down a backlog.
            self.appends.age_seconds.observe(_age(appended.first, self.clock))
        for letter in appended.set_aside:
            reason = self.label_values.bounded(letter.reason)
            self.dead_letters.labels(Stage.INGEST.value, "", reason).inc()
        for record in appended.continuity:
            if record.is_new:
                self.holes[record.cause].inc()
            if record.is_unrepaired:
                self.unrepaired[record.cause].inc()

    def large_texts(self, **counts: int) -> None:
        """Count large texts that arrived as diffs, by their result, which is one of `TEXT_RESULTS`."""
        for result, count in counts.items():
            self.texts[result].inc(count)

    def set_owned(self, owned: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Record whether this process owns the channel."""
        state = self.state
        state.owned.set(owned)
        if not owned:
            # For a channel of another process, this process reports neither "down" nor "late".
            for gauge in (state.ups, state.verified, state.expires):
                gauge.remove(state.path)

    def set_up(self, up: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Record whether the channel, which this process owns, is subscribed and read."""
        self.state.ups.labels(self.state.path).set(up)

    def set_verified(self, verified_at: float, *, expires_at: float) -> None:
        """Record the time until which no event is missing.

        After `expires_at`, events can be lost. Both are epoch seconds.
        """
        self.state.verified.labels(self.state.path).set(verified_at)
        self.state.expires.labels(self.state.path).set(expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupMetrics:
    """Series of record look-ups for events; results are in `LOOKUP_RESULTS`."""

    lookups: Mapping[str, Counter]
    calls: Mapping[str, Counter]
    records: Histogram
    seconds: Histogram
    entries: Gauge
    size: Gauge
    waits: Gauge

    @classmethod
    def declared(cls, registry: CollectorRegistry) -> Self:
        """Return new series in `registry`."""
        declared = Declarations(registry)
        lookups = declared.counter("lookups", "Look-ups of records for events, by result.", "result")
        says = "Look-up calls to Salesforce and to services, by result."
        calls = declared.counter("lookup_calls", says, "result")
        waits = "1 while look-ups wait for Salesforce, the org's daily requests or a service, 0 otherwise."
        return cls(
            lookups={result: lookups.labels(result) for result in LOOKUP_RESULTS},
            calls={result: calls.labels(result) for result in CALL_RESULTS},
            records=declared.histogram("lookup_records", "Records read per look-up call.", _LOOKUP_BUCKETS),
            seconds=declared.histogram("lookup_seconds", "Duration of a look-up call.", DELIVERY_BUCKETS_S),
            entries=declared.gauge("lookup_cache_records", "Records in the cache of look-ups."),
            size=declared.gauge("lookup_cache_bytes", "Bytes of the records in the cache of look-ups."),
            waits=declared.gauge("lookups_waiting", waits),
        )

    def looked_up(self, result: str) -> None:
        """Count a look-up that has ended."""
        self.lookups[result].inc()

    def asked(self, records: int, seconds: float, result: str) -> None:
        """Count a call for `records` that took `seconds`."""
        self.calls[result].inc()
        self.records.observe(records)
        self.seconds.observe(seconds)

    def held(self, *, entries: int, size: int, waits: bool) -> None:
        """Record the cache's number of entries and size in bytes, and whether look-ups wait."""
        self.entries.set(entries)
        self.size.set(size)
        self.waits.set(waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMetrics:
    """Series of spans by result, one of `SPAN_RESULTS`."""

    results: Mapping[str, Counter]

    @classmethod
    def declared(cls, registry: CollectorRegistry) -> Self:
        """Return new series in `registry`."""
        spans = Declarations(registry).counter(
            "trace_spans",
            "Spans of traced events, by result: exported to the collector, failed because the collector "
            "did not accept the span, or dropped because too many spans waited.",
            "result",
        )
        return cls(results={result: spans.labels(result) for result in SPAN_RESULTS})

    def spans(self, result: str, number: int, /) -> None:
        """Count spans."""
        self.results[result].inc(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSeries:
    """Series of a subscriber's attempts."""

    outcomes: Mapping[type[Outcome], Counter]
    failures: CountersByKey[FailureClass]
    seconds: Histogram
    to_target_seconds: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberGauges:
    """Gauges of a subscriber's state in this process."""

    lag: Gauge
    delivered_through: Gauge
    deliver_within_s: Gauge
    in_flight: Gauge
    parked: Gauge
    limit: Gauge
    following: Gauge
    held: Gauge
    down: Gauge
    unrecorded_s: Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberMetrics:
    """Series of one subscriber."""

    name: SubscriberName
    clock: Clock
    attempts: AttemptSeries
    state: SubscriberGauges
    batch_events: Histogram
    dead_letters: Counter
    label_values: LabelValues

    def attempted(self, event: Event, outcome: Outcome, seconds: float | None, trace_id: str = "") -> None:
        """Count an attempt at `event`; `seconds` is its duration, or `None` if no request was sent.

        The `trace_id` of a sampled event becomes an exemplar of the histograms.
        """
        exemplar = {"trace_id": trace_id} if trace_id else None
        attempts = self.attempts
        attempts.outcomes[type(outcome)].inc()
        if seconds is not None:
            # Zeros for events that `when` excludes would hide the target's durations.
            attempts.seconds.observe(seconds, exemplar)
        if isinstance(outcome, Delivered):
            attempts.to_target_seconds.observe(_age(event, self.clock), exemplar)
        elif not isinstance(outcome, Skip):
            attempts.failures[outcome.failure].inc()

    def plugin_failed(self) -> None:
        """Count a failure of the plugin outside an attempt."""
        self.attempts.failures[FailureClass.PLUGIN_ERROR].inc()

    def called(self, events: int) -> None:
        """Record a call of the plugin with a batch of `events`."""
        # The series begins here, because most plugins do not take batches.
        self.batch_events.labels(self.name).observe(events)

    def set_aside(self, letter: DeadLetter) -> None:
        """Count the dead letter `letter`."""
        self.dead_letters.labels(
            letter.stage.value, self.name, self.label_values.bounded(letter.reason)
        ).inc()

    def set_status(self, status: SubscriberStatus) -> None:
        """Record the subscriber's current status."""
        state = self.state
        state.lag.set(status.lag)
        state.delivered_through.set(self.clock.now() if status.oldest_at is None else status.oldest_at)
        # The series must exist for comparisons in alerts; an infinite limit is never exceeded.
        state.deliver_within_s.set(math.inf if status.deliver_within_s is None else status.deliver_within_s)
        state.in_flight.set(status.in_flight)
        state.parked.set(status.parked)
        state.limit.set(status.limit)
        state.down.set(status.is_down)
        state.held.set(status.is_held)

    def set_following(self, following: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Record whether the subscriber follows the log."""
        self.state.following.set(following)

    def set_unrecorded(self, seconds: float) -> None:
        """Record the seconds for which finished deliveries have waited to be recorded in the log."""
        self.state.unrecorded_s.set(seconds)


def _age(event: Event, clock: Clock) -> float:
    # A clock that is behind Salesforce's clock would give a negative age.
    return max(0.0, clock.now() - datetime.fromisoformat(event.time).timestamp())
