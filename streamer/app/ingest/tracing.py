"""Spans for the receipt and the append of sampled events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamer.clock import Clock
from streamer.events import Event, EventId, replay_id_to_text
from streamer.ingest.relay import IngestObserver
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
