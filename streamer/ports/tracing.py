"""Contract of tracing: the trace of each event, its spans, and their receiver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Protocol

from streamer.events import Event, SubscriberName

_PERSON = b"streamer-trace"
_IDS = 1 << 64
_REMEMBERED = 4096


class TraceContext(NamedTuple):
    """Trace of one event; the ids are hexadecimal, as in W3C Trace Context.

    `receipt_id` is the first span of the trace: the receipt of the event. `append_id`
    is the span of the event's append, and the parent of all later spans.
    """

    trace_id: str
    receipt_id: str
    append_id: str
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        """Value of the header `traceparent`, with the append as the parent."""
        return traceparent(self.trace_id, self.append_id, is_sampled=self.is_sampled)

    def delivery_id(self, subscriber: SubscriberName) -> str:
        """Return the id of the span of the delivery to `subscriber`."""
        return blake2b(f"{self.append_id}{subscriber}".encode(), digest_size=8, person=_PERSON).hexdigest()


class EventTraces:
    """Traces of events; the share `ratio` of the traces is sampled.

    The ids are a hash of the event's source and id, so that every process, and every
    reading of one event, gets the same trace. As in OpenTelemetry's sampler
    `TraceIdRatioBased`, the lower half of the trace id decides about sampling.
    """

    def __init__(self, ratio: float) -> None:
        self._bound = round(ratio * _IDS)
        # The trace of an event is requested several times in a row.
        self._known = lru_cache(_REMEMBERED)(self._made)

    def of(self, event: Event) -> TraceContext:
        """Return the trace of `event`."""
        return self._known(event.source, event.id)

    def _made(self, source: str, event_id: str) -> TraceContext:
        # The log refuses an id that UTF-8 can't encode; this function must not fail.
        identity = f"{source}\0{event_id}".encode(errors="surrogatepass")
        digest = blake2b(identity, digest_size=32, person=_PERSON).hexdigest()
        is_sampled = int(digest[16:32], 16) < self._bound
        return TraceContext(digest[:32], digest[32:48], digest[48:], is_sampled)


def traceparent(trace_id: str, span_id: str, *, is_sampled: bool) -> str:
    """Return the value of the header `traceparent`, version 00 of W3C Trace Context."""
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"


class SpanKind(StrEnum):
    """Role of a span in the exchange of messages, in OpenTelemetry's terms."""

    CONSUMER = "consumer"
    PRODUCER = "producer"
    INTERNAL = "internal"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Finished piece of work for one event; times are epoch seconds.

    `error` is a stable word for the failure, or empty. Attributes are ids, names and
    numbers, and no data of the event.
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
    """Receiver of spans; its methods never wait and never raise.

    If tracing is off, there is no tracer, so that an event costs nothing.
    """

    def trace_of(self, event: Event, /) -> TraceContext:
        """Return the trace of `event`, which is the same in every process."""
        ...

    def ended(self, spans: Sequence[Span], /) -> None:
        """Accept spans of sampled traces; if there is no room, spans are dropped and counted."""
        ...

    def dropped(self, spans: int, /) -> None:
        """Count spans that were never created."""
        ...
