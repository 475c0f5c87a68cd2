"""Observers of the events that pass through a daemon: metrics, a watcher, and a tracer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.app.ingest.tracing import TracedIngest
from streamer.clock import Clock
from streamer.dispatch.delivery.attempts import DispatchObserver
from streamer.events import Channel, DeadLetter, Event, Outcome, SubscriberName
from streamer.ingest.relay import IngestObserver
from streamer.observe.metrics import Metrics
from streamer.observe.series import ChannelMetrics, SubscriberMetrics
from streamer.observe.tracing import QueuedTracer
from streamer.ports import Appended


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
