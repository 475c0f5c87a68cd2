"""HTTP endpoint for Prometheus and for the probes of Kubernetes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import orjson
import structlog
from aiohttp import web

from streamer.supervision.address import announced
from streamer.supervision.exposition import Exposition
from streamer.supervision.health import Health, ProbeKind, ProbeReport
from streamer.web.listener import listening

_log = structlog.get_logger()

_PROBES = ("/healthz", "/readyz")


@asynccontextmanager
async def serving(health: Health, exposition: Exposition, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve `/metrics`, `/healthz` and `/readyz` inside the context; yields the port.

    `/healthz` (liveness) and `/readyz` (readiness) answer 200, or 503 when a
    probe failed, with the result of each probe, the problems and the `state`
    of the process in one word, as JSON. The `exposition` is closed at the end.
    Port 0 takes a free port. The image's health check finds the address in the
    file of `announced`. Raises `ConfigurationError` when the address is not
    available.
    """
    with closing(exposition):
        app = _app(health, exposition)
        async with listening(app, host=host, port=port, section="observe", probes=_PROBES) as found:
            _log.info("observe.listening", host=host, port=found)
            with announced(host, found):
                yield found


def _app(health: Health, exposition: Exposition) -> web.Application:
    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition.page(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(health.report(ProbeKind.LIVENESS))

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(health.report(ProbeKind.READINESS))

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app


def _answer(report: ProbeReport) -> web.Response:
    body: dict[str, Any] = {
        "status": "ok" if report.ok else "failing",
        "state": report.state,
        "problems": report.problems,
        "checks": {
            name: {"ok": result.ok, "says": result.sentence} for name, result in report.results.items()
        },
    }
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2),
        status=200 if report.ok else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
