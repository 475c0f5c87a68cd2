"""Observers of the events that pass through a daemon: metrics, a watcher, and a tracer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streamer.clock import Clock
from streamer.dispatch.delivery.attempts import DispatchObserver
from streamer.events import Channel, DeadLetter, Event, EventId, Outcome, SubscriberName, replay_id_to_text
from streamer.ingest.relay import IngestObserver
from streamer.observe.metrics import Metrics
from streamer.observe.series import ChannelMetrics, SubscriberMetrics
from streamer.observe.tracers import QueuedTracer
from streamer.ports import Appended, Span, SpanKind, Tracer
from streamer.ports.tracing import TraceContext

# An append can hold a hundred thousand events, and one step creates all their spans.
_MOST_TRACED = 5_000
_SPANS = 2


class _Taken(NamedTuple):
    """Attributes of a sampled event for its spans, without the event's data."""

    trace: TraceContext
    id: EventId
    read_at: float
    attributes: dict[str, str | int | float | bool]


@dataclass(slots=True, kw_only=True)
class TracedIngest:
    """Creates spans for a channel's sampled events, and passes every call on to `observer`.

    A trace begins when Salesforce's answer is read. At most 5,000 events of an
    append are traced.
    """

    observer: IngestObserver
    tracer: Tracer
    clock: Clock
    _taken: list[_Taken] = field(default_factory=list, init=False)

    def taken(self, events: Sequence[Event], read_at: float) -> None:
        """Keep the attributes of the sampled events until they are in the log."""
        self.observer.taken(events, read_at)
        trace_of, taken = self.tracer.trace_of, self._taken
        for event in events:
            trace = trace_of(event)
            if not trace.is_sampled:
                continue
            if len(taken) < _MOST_TRACED:
                taken.append(_Taken(trace, event.id, read_at, event_attributes(event)))
            else:
                self.tracer.dropped(_SPANS)

    def appended(self, appended: Appended, seconds: float) -> None:
        """End the spans of the events given to `taken`."""
        self.observer.appended(appended, seconds)
        if not self._taken:
            return
        taken, self._taken = self._taken, []
        refused = {letter.event.id: letter.reason for letter in appended.set_aside if letter.event}
        path, now = appended.checkpoint.channel.path, self.clock.now()
        spans: list[Span] = []
        for each in taken:
            reason = refused.get(each.id, "")
            spans.append(_receipt(each, path, now, reason))
            if not reason:
                spans.append(_append(each.trace, now - seconds, now, appended.events))
        self.tracer.ended(spans)


def event_attributes(event: Event) -> dict[str, str | int | float | bool]:
    """Return the attributes of `event`, named by OpenTelemetry's conventions for CloudEvents."""
    attributes: dict[str, str | int | float | bool] = {
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.source,
        "cloudevents.event_type": event.type,
        "streamer.event_time": event.time,
        "streamer.replay_id": replay_id_to_text(event.replay_id),
    }
    if event.subject is not None:
        attributes["cloudevents.event_subject"] = event.subject
    return attributes


def _receipt(taken: _Taken, path: str, ended: float, error: str) -> Span:
    return Span(
        name=f"receive {path}",
        kind=SpanKind.CONSUMER,
        trace_id=taken.trace.trace_id,
        span_id=taken.trace.receipt_id,
        parent_id=None,
        began=min(taken.read_at, ended),
        ended=ended,
        attributes=taken.attributes,
        error=error,
    )


def _append(trace: TraceContext, began: float, ended: float, events: int) -> Span:
    return Span(
        name="append",
        kind=SpanKind.PRODUCER,
        trace_id=trace.trace_id,
        span_id=trace.append_id,
        parent_id=trace.receipt_id,
        began=began,
        ended=ended,
        attributes={"messaging.batch.message_count": events},
    )


class Watcher(Protocol):
    """Observer of passing events. The methods of a watcher must not block or raise."""

    def appended(self, events: Sequence[Event], set_aside: Sequence[DeadLetter]) -> None:
        """Called after the log has stored these events and dead letters."""
        ...

    def attempted(self, subscriber: SubscriberName, event: Event, outcome: Outcome) -> None:
        """Called after an attempt at a delivery has ended with `outcome`."""
        ...

    def set_aside(self, subscriber: SubscriberName, letter: DeadLetter) -> None:
        """Called after an event of a subscriber became a dead letter."""
        ...


@dataclass(slots=True, kw_only=True)
class WatchedIngest:
    """Counts appends, and passes their events to the watcher."""

    metrics: ChannelMetrics
    watcher: Watcher
    _events: list[Event] = field(default_factory=list, init=False)

    def taken(self, events: Sequence[Event], read_at: float) -> None:  # noqa: ARG002 - of no interest here
        """Keep the events until they are in the log."""
        self._events += events

    def appended(self, appended: Appended, seconds: float) -> None:
        """Pass an append on."""
        self.metrics.appended(appended, seconds)
        events, self._events = self._events, []
        self.watcher.appended(events, appended.set_aside)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDispatch:
    """Counts attempts, and passes them to the watcher."""

    name: SubscriberName
    metrics: SubscriberMetrics
    watcher: Watcher

    def attempted(self, event: Event, outcome: Outcome, seconds: float | None, trace_id: str = "") -> None:
        """Pass an attempt on."""
        self.metrics.attempted(event, outcome, seconds, trace_id)
        self.watcher.attempted(self.name, event, outcome)

    def called(self, events: int) -> None:
        """Pass on a call of the plugin with a batch of events."""
        self.metrics.called(events)

    def set_aside(self, letter: DeadLetter) -> None:
        """Pass a dead letter on."""
        self.metrics.set_aside(letter)
        self.watcher.set_aside(self.name, letter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """A daemon's metrics, the watcher of the daemon's events, and the tracer of the events' spans."""

    metrics: Metrics
    watcher: Watcher | None = None
    tracer: QueuedTracer | None = None

    def of_channel(self, channel: Channel, clock: Clock) -> IngestObserver:
        """Return the observer of a channel's appends."""
        metrics = self.metrics.channel(channel)
        watched = WatchedIngest(metrics=metrics, watcher=self.watcher) if self.watcher else metrics
        return TracedIngest(observer=watched, tracer=self.tracer, clock=clock) if self.tracer else watched

    def of_subscriber(self, name: SubscriberName) -> DispatchObserver:
        """Return the observer of a subscriber's deliveries."""
        metrics = self.metrics.subscriber(name)
        return WatchedDispatch(name=name, metrics=metrics, watcher=self.watcher) if self.watcher else metrics
