"""Tracer in memory, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.events import Event
from streamer.ports import Span
from streamer.ports.trace_context import EventTraces, TraceContext


@dataclass(slots=True, kw_only=True)
class MemoryTracer:
    """Keeps all spans, in the order in which they ended."""

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
        """Count spans that were never made."""
        self.lost += spans
