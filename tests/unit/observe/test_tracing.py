"""Spans wait in a bounded queue, and a collector that fails costs nothing but spans."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client.openmetrics.exposition import generate_latest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.events import Delivered, SubscriberName
from streamer.observe.metrics import Metrics
from streamer.observe.tracers import QueuedTracer
from streamer.ports import Span, SpanKind
from streamer.ports.tracing import EventTraces
from tests.contracts.values import an_event
from tests.waiting import LIMIT_S, until


@dataclass
class ScriptedExporter:
    """Takes spans, answers with `reason`, or raises it; stands still while it is not `open`."""

    reason: str = ""
    raises: bool = False
    sizes: list[int] = field(default_factory=list)
    closed: int = 0
    open: threading.Event = field(default_factory=threading.Event)

    def export(self, spans: Sequence[Span], /) -> str:
        """Answer as written."""
        assert self.open.wait(LIMIT_S)
        self.sizes.append(len(spans))
        if self.raises:
            raise OSError(self.reason)
        return self.reason

    def close(self) -> None:
        """Count."""
        self.closed += 1


@dataclass
class World:
    """A tracer with room for 1,000 spans, whose thread looks every millisecond."""

    exporter: ScriptedExporter = field(default_factory=ScriptedExporter)
    counted: Counter[str] = field(default_factory=Counter)

    def spans(self, result: str, number: int, /) -> None:
        """Count."""
        self.counted[result] += number

    def tracer(self) -> QueuedTracer:
        """Return a new tracer."""
        return QueuedTracer(EventTraces(1.0), lambda: self.exporter, self, limit=1_000, interval_s=0.001)


@pytest.fixture
def world() -> World:
    """Everything is taken."""
    world = World()
    world.exporter.open.set()
    return world


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """The lines of the log."""
    with capture_logs() as lines:
        yield lines


def spans(number: int) -> list[Span]:
    """Return as many spans."""
    one = Span(
        name="append", kind=SpanKind.PRODUCER, trace_id="1", span_id="2", parent_id=None, began=0.0, ended=1.0
    )
    return [one] * number


async def test_all_spans_are_sent_in_batches_until_the_end(world: World) -> None:
    """Spans that wait at the end are sent too, and the exporter is closed."""
    tracer = world.tracer()
    async with tracer.sending():
        tracer.ended(spans(700))
    assert sum(world.exporter.sizes) == 700
    assert max(world.exporter.sizes) <= 512
    assert world.counted == {"exported": 700}
    assert world.exporter.closed == 1


async def test_full_queue_drops_and_counts_at_once(world: World) -> None:
    """A collector that stands still makes nobody wait."""
    world.exporter.open.clear()
    tracer = world.tracer()
    async with tracer.sending():
        tracer.ended(spans(900))
        tracer.ended(spans(900))
        assert world.counted["dropped"] >= 288
        world.exporter.open.set()
    assert world.counted["exported"] + world.counted["dropped"] == 1_800


@pytest.mark.parametrize("raises", [False, True])
async def test_failures_are_told_once_and_so_is_their_end(
    world: World, logs: list[dict[str, Any]], *, raises: bool
) -> None:
    """However many batches fail, and whether the library says so or raises."""
    world.exporter.reason, world.exporter.raises = "no route to host", raises
    tracer = world.tracer()
    async with tracer.sending():
        for number in range(3):
            tracer.ended(spans(1))
            await _until_exported(world, number + 1)
        world.exporter.reason, world.exporter.raises = "", False
        tracer.ended(spans(1))
        await _until_exported(world, 4)
    assert [line["event"] for line in logs] == ["tracing.unavailable", "tracing.recovered"]
    assert "no route to host" in logs[0]["reason"]
    assert world.counted == {"failed": 3, "exported": 1}


async def test_exporter_that_fails_to_close_costs_one_line(world: World, logs: list[dict[str, Any]]) -> None:
    """The daemon stops all the same, without a traceback."""

    class Unclosable(ScriptedExporter):
        def close(self) -> None:
            raise OSError("no route to host")

    world.exporter = Unclosable(open=world.exporter.open)
    tracer = world.tracer()
    async with tracer.sending():
        tracer.ended(spans(1))
    assert [line["event"] for line in logs] == ["tracing.unavailable"]
    assert world.counted["exported"] == 1


async def test_stop_does_not_try_a_dead_collector_again_and_again(world: World) -> None:
    """One batch fails, and the others are given up."""
    world.exporter.reason = "refused"
    tracer = QueuedTracer(EventTraces(1.0), lambda: world.exporter, world, limit=5_000, interval_s=60.0)
    async with tracer.sending():
        tracer._queue.extend(spans(2_000))
    assert world.exporter.sizes == [512]
    assert world.counted == {"failed": 2_000}


def test_sampled_event_is_the_exemplar_of_its_times() -> None:
    """By it, a dashboard finds a trace behind a slow delivery."""
    metrics = Metrics(clock=TurnedClock())
    copy = metrics.subscriber(SubscriberName("copy"))
    copy.attempted(an_event("a"), Delivered(), 0.004)
    assert "trace_id" not in generate_latest(metrics.registry).decode()
    copy.attempted(an_event("a"), Delivered(), 0.004, "0af7651916cd43dd8448eb211c80319c")

    lines = generate_latest(metrics.registry).decode().splitlines()
    found = [
        line.partition("{")[0] for line in lines if 'trace_id="0af7651916cd43dd8448eb211c80319c"' in line
    ]
    assert found == ["streamer_delivery_seconds_bucket", "streamer_event_to_target_seconds_bucket"]


async def _until_exported(world: World, batches: int) -> None:
    await until(lambda: sum(world.counted.values()) >= batches)
