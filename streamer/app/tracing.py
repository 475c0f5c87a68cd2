"""Tracing of a daemon: the tracer that its settings ask for."""

from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from socket import gethostname

from streamer import DISTRIBUTION
from streamer.observe.tracing import Exporter, QueuedTracer, TraceMetrics
from streamer.ports.trace_context import EventTraces
from streamer.settings import TracingSettings

_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def has_opentelemetry() -> bool:
    """Return true where the packages of the extra `otel` are installed."""
    try:
        return all(find_spec(name) for name in _NEEDED)
    except ModuleNotFoundError:
        return False


def tracer_of(settings: TracingSettings | None, metrics: TraceMetrics, role: str) -> QueuedTracer | None:
    """Return the tracer of a process that serves `role`, or `None` where tracing is off."""
    if settings is None:
        return None
    return QueuedTracer(
        EventTraces(settings.ratio),
        partial(_exporter, settings, role),
        metrics,
        limit=settings.max_waiting_spans,
    )


def _exporter(settings: TracingSettings, role: str) -> Exporter:
    # Half a second, and not installed everywhere.
    from streamer.observe.tracing.otlp import OtlpExporter  # noqa: PLC0415 - as said

    resource = {
        "service.name": settings.service_name,
        "service.version": version(DISTRIBUTION),
        "service.instance.id": gethostname(),
        "streamer.role": role,
    }
    return OtlpExporter(settings.otlp, resource)
