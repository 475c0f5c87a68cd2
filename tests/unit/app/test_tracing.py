"""Spans of the receipt and the append of events are made when the append is in the log."""

from dataclasses import dataclass, field

import pytest

from streamer.app.observers import TracedIngest
from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable
from streamer.events import Event
from streamer.observe.metrics import Metrics
from streamer.observe.tracers import MemoryTracer
from streamer.ports import SpanKind
from streamer.ports.tracing import EventTraces
from tests.messages import CHANGES, batch, change
from tests.unit.ingest.test_relay import World, world


@dataclass
class Traced:
    """A channel that is traced, and its tracer."""

    world: World
    tracer: MemoryTracer = field(default_factory=MemoryTracer)

    async def run(self) -> None:
        """Relay the script to its end."""
        metrics = Metrics(clock=self.world.clock).channel(CHANGES)
        self.world.observer = TracedIngest(observer=metrics, tracer=self.tracer, clock=self.world.clock)
        await self.world.run()

    @property
    def events(self) -> list[Event]:
        """Return the events in the log."""
        return list(self.world.log.events)


async def test_each_event_has_a_receipt_and_an_append() -> None:
    """The receipt begins when the answer was read."""
    clock = TurnedClock()
    read_at = clock.now() - 3.0
    traced = Traced(world(batch(change(1, "001A"), change(2, "001B"), at=read_at)))
    traced.world.clock = clock
    await traced.run()

    spans = traced.tracer.spans
    traces = [traced.tracer.trace_of(event) for event in traced.events]
    assert [(span.name, span.kind, span.span_id, span.parent_id) for span in spans] == [
        each
        for trace in traces
        for each in (
            (f"receive {CHANGES.path}", SpanKind.CONSUMER, trace.receipt_id, None),
            ("append", SpanKind.PRODUCER, trace.append_id, trace.receipt_id),
        )
    ]
    assert (spans[0].began, spans[0].ended) == (read_at, clock.now())
    assert spans[0].attributes["cloudevents.event_subject"] == "001A"
    assert spans[1].attributes == {"messaging.batch.message_count": 2}


async def test_only_sampled_events_leave_spans() -> None:
    """Others cost a hash."""
    traced = Traced(world(batch(change(1, "001A"))), MemoryTracer(traces=EventTraces(0.0)))
    await traced.run()

    assert len(traced.events) == 1
    assert not traced.tracer.spans


async def test_refused_event_ends_with_its_receipt() -> None:
    """Its trace says that it is a dead letter."""
    traced = Traced(world(batch(change(1, "001A"), change(2, "001B"))))
    traced.world.log.faults.refuse = lambda event: event.key == "001A"
    await traced.run()

    assert [(span.name, span.error) for span in traced.tracer.spans] == [
        (f"receive {CHANGES.path}", "refused_by_log"),
        (f"receive {CHANGES.path}", ""),
        ("append", ""),
    ]


async def test_append_that_failed_leaves_no_span() -> None:
    """The next run reads the events again, with the same trace."""
    traced = Traced(world(batch(change(1, "001A"))))
    traced.world.log.faults.down = True
    with pytest.raises(LogUnavailable):
        await traced.run()
    assert not traced.tracer.spans
    traced.world.log.faults.down = False
    await traced.run()

    assert [span.name for span in traced.tracer.spans] == [f"receive {CHANGES.path}", "append"]


async def test_spans_of_one_append_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further spans are counted."""
    monkeypatch.setattr("streamer.app.observers._MOST_TRACED", 1)
    traced = Traced(world(batch(change(1, "001A"), change(2, "001B"), change(3, "001C"))))
    await traced.run()

    assert len(traced.tracer.spans) == 2
    assert traced.tracer.lost == 4
