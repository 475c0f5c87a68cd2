"""Deliveries and attempts of sampled events leave spans that belong together."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.events import Delivered, FailureClass, Reject, Retry, Skip
from streamer.observe.tracers import MemoryTracer
from streamer.ports import Batching, Span
from streamer.ports.tracing import EventTraces
from tests.contracts.values import an_event
from tests.unit.dispatch.world import TARGET, World

A = "a"


@pytest.fixture
def tracer(world: World) -> MemoryTracer:
    """The world's tracer, which samples everything."""
    world.tracer = MemoryTracer()
    return world.tracer


def told(span: Span) -> tuple[Any, ...]:
    """Return what a span tells beside its ids and times."""
    count = span.attributes.get("streamer.attempt", span.attributes.get("streamer.attempts"))
    return span.name, count, span.attributes["streamer.outcome"], span.error


async def test_attempts_belong_to_their_delivery(world: World, tracer: MemoryTracer) -> None:
    """Each has an id of its own, which the plugin is given."""
    world.target.answers[A].append(Retry(reason="busy", failure=FailureClass.RATE_LIMITED))
    await world.append(A)
    async with world.running():
        await world.turn(1.0)

    trace = tracer.trace_of(an_event(A))
    assert list(map(told, tracer.spans)) == [
        (f"attempt {TARGET}", 1, "retry", "rate_limited"),
        (f"attempt {TARGET}", 2, "delivered", ""),
        (f"deliver {TARGET}", 2, "delivered", ""),
    ]
    first, second, delivery = tracer.spans
    assert {first.parent_id, second.parent_id} == {delivery.span_id} == {trace.delivery_id(TARGET)}
    assert delivery.parent_id == trace.append_id
    assert world.target.parents == [f"00-{trace.trace_id}-{span.span_id}-01" for span in (first, second)]
    assert first.span_id != second.span_id
    assert delivery.ended - delivery.began == 1.0


async def test_delivery_begun_by_another_process_begins_with_its_first_failure(
    world: World, tracer: MemoryTracer
) -> None:
    """A restart joins the trace and the delivery, which it ends."""
    world.target.answers[A].append(Retry(reason="busy", after_s=30.0))
    await world.append(A)
    async with world.running():
        pass
    async with world.running():
        await world.turn(30.0)

    delivery = tracer.spans[-1]
    assert told(delivery) == (f"deliver {TARGET}", 2, "delivered", "")
    assert delivery.ended - delivery.began == 30.0


async def test_dead_letter_ends_the_delivery_with_its_reason(world: World, tracer: MemoryTracer) -> None:
    """And the log line names the trace."""
    world.target.answers[A].append(Reject(reason="no such customer"))
    await world.append(A)
    with capture_logs() as lines:
        async with world.running():
            pass

    assert list(map(told, tracer.spans)) == [
        (f"attempt {TARGET}", 1, "reject", "rejected"),
        (f"deliver {TARGET}", 1, "set_aside", "rejected"),
    ]
    [line] = [line for line in lines if line["event"] == "event.set_aside"]
    assert line["trace_id"] == tracer.spans[0].trace_id


async def test_skip_of_the_plugin_is_no_error(world: World, tracer: MemoryTracer) -> None:
    """The event is settled."""
    world.target.answers[A].append(Skip(reason="not for me"))
    await world.append(A)
    async with world.running():
        pass

    assert [span.error for span in tracer.spans] == ["", ""]


async def test_events_of_a_batch_have_an_attempt_each(world: World, tracer: MemoryTracer) -> None:
    """One call of the plugin delivers them."""
    world.batching = Batching(size=2, wait_s=0.01)
    world.target.batch_size = 2
    await world.append("a", "b")
    async with world.running():
        await world.turn(0.01)

    assert world.target.batches == [["a", "b"]]
    assert sorted(span.name for span in tracer.spans) == [f"attempt {TARGET}"] * 2 + [f"deliver {TARGET}"] * 2
    assert len({span.trace_id for span in tracer.spans}) == 2


async def test_event_that_is_not_sampled_tells_the_target_so(world: World) -> None:
    """It leaves no span and no field in the log, and the target does not sample it either."""
    world.tracer = MemoryTracer(traces=EventTraces(0.0))
    world.target.answers[A].append(Reject(reason="no such customer"))
    await world.append(A)
    with capture_logs() as lines:
        async with world.running():
            pass

    assert not world.tracer.spans
    assert world.target.parents == [world.tracer.trace_of(an_event(A)).traceparent]
    assert world.target.parents[0] is not None
    assert world.target.parents[0].endswith("-00")
    assert all("trace_id" not in line for line in lines)


async def test_without_tracing_nothing_is_told(world: World) -> None:
    """No header is made up."""
    world.target.answers[A].append(Delivered())
    await world.append(A)
    async with world.running():
        pass

    assert world.target.parents == [None]
