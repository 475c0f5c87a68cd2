"""Tracers: `QueuedTracer` sends spans from its own thread, and `MemoryTracer` keeps spans in memory."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from streamer.clock import SystemClock
from streamer.events import Event
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread
from streamer.ports import Span
from streamer.ports.tracing import EventTraces, TraceContext

_log = structlog.get_logger()

_BATCH = 512
_INTERVAL_S = 1.0
_CLOSE_S = 2.0
_LONGEST_REASON = 300


class Exporter(Protocol):
    """Sender of spans to one collector. All calls come from one thread."""

    def export(self, spans: Sequence[Span], /) -> str:
        """Send `spans`; return the reason why the collector did not accept the spans, or an empty text."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class TraceMetrics(Protocol):
    """Counts spans. Calls come from several threads."""

    def spans(self, result: Literal["exported", "failed", "dropped"], number: int, /) -> None:
        """Count spans by their result."""
        ...


class QueuedTracer:
    """Sends spans to a collector, at most `interval_s` seconds after their end.

    A slow or dead collector only loses spans. At most `limit` spans wait in memory;
    further spans are dropped and counted. The log gets one line for the first
    failure and one line for the recovery. `make` creates the exporter, on the
    thread.
    """

    def __init__(
        self,
        traces: EventTraces,
        make: Callable[[], Exporter],
        metrics: TraceMetrics,
        *,
        limit: int,
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._traces = traces
        self._make = make
        self._metrics = metrics
        self._limit = limit
        self._interval_s = interval_s
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._is_failing = False

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send spans inside the context. On exit, send the waiting spans, for at most two seconds."""
        # No probe checks this thread's pulse, because a collector can take any time.
        pulses = Pulses(SystemClock())
        thread = ServiceThread("traces", self._serve, pulses=pulses, failed=self._fail)
        thread.start()
        try:
            yield
        finally:
            self._closing = True
            self._wake.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await thread.join()

    def trace_of(self, event: Event, /) -> TraceContext:
        """Return the trace of `event`."""
        return self._traces.of(event)

    def ended(self, spans: Sequence[Span], /) -> None:
        """Queue `spans` while the queue has room."""
        room = max(0, self._limit - len(self._queue))
        if len(spans) > room:
            self.dropped(len(spans) - room)
            spans = spans[:room]
        self._queue.extend(spans)
        if len(self._queue) >= _BATCH:
            self._wake.set()

    def dropped(self, spans: int, /) -> None:
        """Count spans that were never created."""
        self._metrics.spans("dropped", spans)

    def _fail(self, error: Exception) -> None:
        self._note(_reason(error), 0)

    # The methods below run on the tracer's thread.

    def _serve(self, _: Pulse) -> None:
        exporter = None
        is_last = False
        while not is_last:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            is_last = self._closing
            while batch := self._taken():
                try:
                    exporter = exporter or self._make()
                    reason = exporter.export(batch)
                except Exception as error:  # noqa: BLE001 - whatever a foreign library raises costs spans alone
                    reason = _reason(error)
                self._note(reason, len(batch))
                if reason and self._closing:
                    # The daemon's stop must not wait for a dead collector.
                    self._metrics.spans("failed", len(self._queue))
                    self._queue.clear()
        if exporter is not None:
            exporter.close()

    def _taken(self) -> list[Span]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(_BATCH, len(queue)))]

    def _note(self, reason: str, number: int) -> None:
        self._metrics.spans("failed" if reason else "exported", number)
        if reason and not self._is_failing:
            _log.warning(
                "tracing.unavailable",
                reason=reason[:_LONGEST_REASON],
                effect="only spans are dropped, not events",
            )
        elif self._is_failing and not reason:
            _log.info("tracing.recovered")
        self._is_failing = bool(reason)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@dataclass(slots=True, kw_only=True)
class MemoryTracer:
    """Keeps all spans, ordered by their end."""

    traces: EventTraces = field(default_factory=lambda: EventTraces(1.0))
    spans: list[Span] = field(default_factory=list, init=False)
    lost: int = field(default=0, init=False)

    def trace_of(self, event: Event, /) -> TraceContext:
        """Return the trace of `event`."""
        return self.traces.of(event)

    def ended(self, spans: Sequence[Span], /) -> None:
        """Keep `spans`."""
        self.spans += spans

    def dropped(self, spans: int, /) -> None:
        """Count spans that were never created."""
        self.lost += spans
