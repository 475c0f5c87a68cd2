"""Spans go to the configured collector, and to no other."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from streamer.observe.otlp import OtlpExporter
from streamer.ports import Span, SpanKind
from streamer.settings import OtlpSettings


async def test_redirect_is_a_failure_and_is_not_followed() -> None:
    """The headers hold a token of the collector."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/v1/traces":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        headers = {"authorization": SecretStr("Bearer canary-of-the-collector")}
        settings = OtlpSettings(endpoint=f"http://localhost:{server.port}", headers=headers, timeout_s=2)
        exporter = OtlpExporter(settings, {"service.name": "streamer"})
        span = Span(
            name="x",
            kind=SpanKind.INTERNAL,
            trace_id="1" * 32,
            span_id="2" * 16,
            parent_id=None,
            began=1.0,
            ended=2.0,
        )
        reason = await asyncio.to_thread(exporter.export, [span])
        exporter.close()

    assert "/elsewhere" not in asked
    assert reason
