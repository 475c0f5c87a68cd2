"""Calls of a plugin: tasks that it starts are contained, and its attempts get spans."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from traceback import extract_tb
from typing import Any, Self

import structlog

from streamer.clock import Clock
from streamer.dispatch.lanes.lane import Lane
from streamer.events import Delivered, Delivery, Event, Outcome, Skip, SubscriberName
from streamer.ports import Span, SpanKind, Tracer
from streamer.ports.tracing import traceparent

_log = structlog.get_logger()

_CALLED: ContextVar[SubscriberName | None] = ContextVar("called_plugin", default=None)


@contextmanager
def calling(name: SubscriberName) -> Iterator[None]:
    """Mark the tasks that are started inside the context, and theirs, as those of the plugin of `name`."""
    token = _CALLED.set(name)
    try:
        yield
    finally:
        _CALLED.reset(token)


@contextmanager
def exits_contained(exited: Callable[[SubscriberName], None]) -> Iterator[None]:
    """Let no task of a plugin end the event loop inside the context; `exited` hears of each that tries.

    asyncio lets `SystemExit` pass through the loop, so one plugin's script
    would end all the others. Whoever awaits the task gets a `RuntimeError`.
    """
    loop = asyncio.get_running_loop()
    former = loop.get_task_factory()

    def task(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        /,
        **options: Any,
    ) -> "asyncio.Future[Any]":
        name = _CALLED.get()
        if name is not None and asyncio.iscoroutine(coro):
            coro = _contained(coro, name, exited)
        return former(loop, coro, **options) if former else asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(task)
    try:
        yield
    finally:
        loop.set_task_factory(former)


async def _contained(
    coro: Coroutine[Any, Any, Any], name: SubscriberName, exited: Callable[[SubscriberName], None]
) -> Any:
    try:
        return await coro
    except SystemExit as error:
        last = extract_tb(error.__traceback__)[-1]
        _log.warning("plugin.exited", subscriber=name, at=f"{last.filename}:{last.lineno} in {last.name}")
        exited(name)
        raise RuntimeError("a task of the plugin raised SystemExit") from error


_SPAN_ID_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTracing:
    """Makes spans of one subscriber's deliveries of sampled events.

    The id of a delivery's span follows from the event and the subscriber. So
    the attempts of several processes belong to one delivery, whose span the
    process makes that ends it.
    """

    name: SubscriberName
    tracer: Tracer
    clock: Clock

    @classmethod
    def by(cls, tracer: Tracer | None, name: SubscriberName, clock: Clock) -> Self | None:
        """Return the tracing of a subscriber, `None` where tracing is off."""
        return None if tracer is None else cls(name=name, tracer=tracer, clock=clock)

    def marked(self, delivery: Delivery) -> Delivery:
        """Return `delivery` with the traceparent of a new attempt."""
        trace = self.tracer.trace_of(delivery.event)
        # No span has the id of an attempt that is not sampled, and the header must have one.
        span_id = secrets.token_hex(_SPAN_ID_BYTES) if trace.is_sampled else trace.append_id
        value = traceparent(trace.trace_id, span_id, is_sampled=trace.is_sampled)
        return replace(delivery, traceparent=value)

    def attempted(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Make the span of an attempt that has just ended after `seconds`."""
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
        """Make the span of the delivery of the head of `lane`, which has ended with `outcome`."""
        event, now = lane.head.event, self.clock.now()
        trace = self.tracer.trace_of(event)
        if not trace.is_sampled:
            return
        known = [each for each in (lane.first_failed_at, lane.first_tried_at) if each is not None]
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
        """Return the field `trace_id` of a log line about a sampled event."""
        trace = self.tracer.trace_of(event)
        return {"trace_id": trace.trace_id} if trace.is_sampled else {}


def sampled_trace(traceparent: str | None) -> str:
    """Return the trace id in a traceparent of ours that is sampled, otherwise an empty text."""
    if traceparent is None or not traceparent.endswith("-01"):
        return ""
    return traceparent.split("-")[1]
