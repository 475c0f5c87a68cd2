"""Spans of one subscriber's deliveries."""

import secrets
from dataclasses import dataclass, replace
from typing import Self

from streamer.clock import Clock
from streamer.dispatch.lanes.lanes import Lane
from streamer.events import Delivered, Delivery, Event, Outcome, Skip, SubscriberName
from streamer.ports import Span, SpanKind, Tracer
from streamer.ports.tracing import traceparent

_SPAN_ID_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTracing:
    """Creates the spans of one subscriber's deliveries, for sampled events.

    The id of a delivery's span is computed from the event and the subscriber. So
    attempts of several processes belong to the same delivery, and the process that
    ends the delivery creates its span.
    """

    name: SubscriberName
    tracer: Tracer
    clock: Clock

    @classmethod
    def by(cls, tracer: Tracer | None, name: SubscriberName, clock: Clock) -> Self | None:
        """Return the tracing of a subscriber; `None` if tracing is off."""
        return None if tracer is None else cls(name=name, tracer=tracer, clock=clock)

    def marked(self, delivery: Delivery) -> Delivery:
        """Return `delivery` with the traceparent of a new attempt."""
        trace = self.tracer.trace_of(delivery.event)
        # An attempt that is not sampled has no span, but the header must contain some span id.
        span_id = secrets.token_hex(_SPAN_ID_BYTES) if trace.is_sampled else trace.append_id
        value = traceparent(trace.trace_id, span_id, is_sampled=trace.is_sampled)
        return replace(delivery, traceparent=value)

    def attempted(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Create the span of an attempt that has just ended after `seconds`."""
        trace_id = sampled_trace(delivery.traceparent)
        if not trace_id or delivery.traceparent is None:
            return
        now = self.clock.now()
        span = Span(
            name=f"attempt {self.name}",
            kind=SpanKind.CLIENT,
            trace_id=trace_id,
            span_id=delivery.traceparent.split("-")[2],
            parent_id=self.tracer.trace_of(delivery.event).delivery_id(self.name),
            began=now - seconds,
            ended=now,
            attributes={
                "streamer.subscriber": self.name,
                "streamer.attempt": delivery.attempt,
                "streamer.outcome": type(outcome).__name__.lower(),
            },
            error="" if isinstance(outcome, Delivered | Skip) else outcome.failure.value,
        )
        self.tracer.ended([span])

    def ended(self, lane: Lane, outcome: Outcome, *, attempts: int, error: str = "") -> None:
        """Create the span of the delivery of the head of `lane`, which has ended with `outcome`."""
        event, now = lane.head.event, self.clock.now()
        trace = self.tracer.trace_of(event)
        if not trace.is_sampled:
            return
        known = [
            each for each in (lane.retries.first_failed_at, lane.retries.first_tried_at) if each is not None
        ]
        span = Span(
            name=f"deliver {self.name}",
            kind=SpanKind.INTERNAL,
            trace_id=trace.trace_id,
            span_id=trace.delivery_id(self.name),
            parent_id=trace.append_id,
            began=min([*known, now]),
            ended=now,
            attributes={
                "cloudevents.event_id": event.id,
                "cloudevents.event_type": event.type,
                "streamer.subscriber": self.name,
                "streamer.attempts": attempts,
                "streamer.outcome": "set_aside" if error else type(outcome).__name__.lower(),
            },
            error=error,
        )
        self.tracer.ended([span])

    def log_fields(self, event: Event) -> dict[str, str]:
        """Return the field `trace_id` for a log line about `event`; empty if the event is not sampled."""
        trace = self.tracer.trace_of(event)
        return {"trace_id": trace.trace_id} if trace.is_sampled else {}


def sampled_trace(traceparent: str | None) -> str:
    """Return the trace id in a traceparent that Streamer wrote; empty if the trace is not sampled."""
    if traceparent is None or not traceparent.endswith("-01"):
        return ""
    return traceparent.split("-")[1]
