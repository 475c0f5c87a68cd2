"""Exporter to an OpenTelemetry collector, over OTLP/HTTP.

Only this module imports OpenTelemetry, whose packages are in the extra `otel`.
Streamer imports this module only if tracing is configured.
"""

import logging
from collections.abc import Mapping, Sequence

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from streamer.observe.redaction import masked
from streamer.ports import Span
from streamer.settings import OtlpSettings

_NS = 1_000_000_000
_SCOPE = InstrumentationScope("streamer")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpExporter:
    """Sends spans over OTLP/HTTP, compressed with gzip.

    `resource` holds the attributes of this process.
    """

    def __init__(self, settings: OtlpSettings, resource: Mapping[str, str]) -> None:
        self._resource = Resource.create(dict(resource))
        self._complaints = _Complaints()
        self._exporter = OTLPSpanExporter(
            endpoint=settings.traces_url,
            certificate_file=str(settings.ca_file) if settings.ca_file else None,
            headers={name: value.get_secret_value() for name, value in settings.headers.items()},
            timeout=settings.timeout_s,
            compression=Compression.Gzip,
            session=_direct_session(),
        )

    def export(self, spans: Sequence[Span], /) -> str:
        """Send `spans`; return the reason why the collector did not accept the spans, or an empty text."""
        self._complaints.last = ""
        result = self._exporter.export([self._readable(span) for span in spans])
        if result is SpanExportResult.SUCCESS:
            return ""
        return masked(self._complaints.last) or "the collector did not accept the spans"

    def close(self) -> None:
        """Close the connections."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # OpenTelemetry annotates it not
        self._complaints.close()

    def _readable(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None if span.parent_id is None else _context(trace_id, span.parent_id)
        error = {"error.type": span.error} if span.error else {}
        return ReadableSpan(
            name=span.name,
            context=_context(trace_id, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes={**span.attributes, **error},
            kind=SpanKind[span.kind.name],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=round(span.began * _NS),
            end_time=round(span.ended * _NS),
            instrumentation_scope=_SCOPE,
        )


def _direct_session() -> requests.Session:
    """Return a session without redirects, because only the configured address may get spans and headers."""
    session = requests.Session()
    session.max_redirects = 0
    return session


class _Complaints(logging.Handler):
    """Stores OpenTelemetry's last log line, which gives the reason for a failed export."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self._logger = logging.getLogger("opentelemetry")
        self._logger.propagate = False
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line of `record`."""
        self.last = record.getMessage()

    def close(self) -> None:
        """Stop keeping lines."""
        self._logger.removeHandler(self)
        super().close()


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
