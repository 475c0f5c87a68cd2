"""Contract of tracing: where spans of events go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from streamer.events import Event
from streamer.ports.trace_context import TraceContext


class SpanKind(StrEnum):
    """Part of a span in the exchange of messages, in OpenTelemetry's words."""

    CONSUMER = "consumer"
    PRODUCER = "producer"
    INTERNAL = "internal"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Finished piece of work for one event; times are epoch seconds.

    `error` is a stable word for what went wrong, empty if nothing did.
    Attributes hold ids, names and numbers, and nothing of an event's data.
    """

    name: str
    kind: SpanKind
    trace_id: str
    span_id: str
    parent_id: str | None
    began: float
    ended: float
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    error: str = ""


class Tracer(Protocol):
    """Taker of spans; its methods never wait and never raise.

    Where tracing is off there is no tracer, so that an event costs nothing.
    """

    def trace_of(self, event: Event, /) -> TraceContext:
        """Return the trace of `event`, which is the same in every process."""
        ...

    def ended(self, spans: Sequence[Span], /) -> None:
        """Take spans of sampled traces; those that find no room are dropped and counted."""
        ...

    def dropped(self, spans: int, /) -> None:
        """Count spans that were never made."""
        ...
