"""An OpenTelemetry collector for tests: takes spans over OTLP/HTTP, and keeps them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenSpan:
    """Span as the collector reads it; ids in hexadecimal digits."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    began: float
    ended: float
    is_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Collector:
    """The requests that a collector got; it answers with `status`."""

    port: int = 0
    status: int = 200
    spans: list[TakenSpan] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Address for `tracing.otlp.endpoint`."""
        return f"http://localhost:{self.port}"

    def named(self, beginning: str) -> list[TakenSpan]:
        """Return the spans whose names begin so, in the order in which they came."""
        return [span for span in self.spans if span.name.startswith(beginning)]

    async def take(self, request: web.Request) -> web.Response:
        """Take the spans of one request."""
        self.requests.append(dict(request.headers))
        sent = ExportTraceServiceRequest.FromString(await request.read())
        if self.status == web.HTTPOk.status_code:
            for group in sent.resource_spans:
                resource = _values(group.resource.attributes)
                spans = [span for scope in group.scope_spans for span in scope.spans]
                self.spans += [_taken(span, resource) for span in spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(status=self.status, body=body, content_type="application/x-protobuf")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Collector"]:
        """Listen on loopback inside the context."""
        app = web.Application()
        app.router.add_post("/v1/traces", self.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "localhost", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


def _taken(span: Any, resource: dict[str, Any]) -> TakenSpan:
    return TakenSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        began=span.start_time_unix_nano / 1e9,
        ended=span.end_time_unix_nano / 1e9,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
