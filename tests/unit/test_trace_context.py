"""Every process finds the same trace of an event, and the same decision about it."""

from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace.propagation import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamer.events import EventId, ReplayId, SubscriberName
from streamer.ports.tracing import EventTraces
from tests.contracts.values import an_event

COPY = SubscriberName("copy")


def test_trace_follows_from_source_and_id_alone() -> None:
    """An event that is read again, at another place and with other data, has its former trace."""
    event = an_event("tx:1:001A", key="001A")
    trace = EventTraces(1.0).of(event)
    again = replace(event, replay_id=ReplayId(b"99"), channel="/data/Other__chn", data={}, receipts={})

    assert EventTraces(1.0).of(again) == trace
    assert EventTraces(1.0).of(replace(event, id=EventId("tx:2:001A"))).trace_id != trace.trace_id
    assert EventTraces(1.0).of(replace(event, source="/salesforce/other")).trace_id != trace.trace_id


def test_ids_are_those_of_former_versions() -> None:
    """Processes of two versions share a trace, so the ids never change."""
    event = replace(an_event("e1"), source="/salesforce/00D000000000001AAA")
    trace = EventTraces(1.0).of(event)

    assert trace.traceparent == "00-dd03210e304f274a6832ebb32f657d98-22df74a1dff111ae-01"
    assert trace.delivery_id(COPY) == "879f15387412a891"
    assert len({trace.receipt_id, trace.append_id, trace.delivery_id(COPY)}) == 3


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_decision_is_that_of_opentelemetrys_sampler(ratio: float) -> None:
    """Services with the same ratio decide alike."""
    sampler, traces = TraceIdRatioBased(ratio), EventTraces(ratio)
    found = [traces.of(an_event(number)) for number in range(2_000)]

    for trace in found:
        decided = sampler.should_sample(None, int(trace.trace_id, 16), "x").decision
        assert trace.is_sampled == (decided is Decision.RECORD_AND_SAMPLE)
    assert sum(trace.is_sampled for trace in found) == pytest.approx(ratio * 2_000, abs=150)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_opentelemetry_reads_the_header(ratio: float) -> None:
    """With the trace, its parent, and whether it is sampled."""
    trace = EventTraces(ratio).of(an_event("e1"))
    context = TraceContextTextMapPropagator().extract({"traceparent": trace.traceparent})

    found = get_current_span(context).get_span_context()
    assert f"{found.trace_id:032x}" == trace.trace_id
    assert f"{found.span_id:016x}" == trace.append_id
    assert found.trace_flags.sampled is (ratio == 1.0)


def test_id_that_utf_8_can_not_hold_has_a_trace() -> None:
    """The log refuses such an event, and tracing does not get in its way."""
    assert EventTraces(1.0).of(an_event("\ud800")).is_sampled
