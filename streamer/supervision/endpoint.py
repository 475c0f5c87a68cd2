"""HTTP endpoint for Prometheus and for Kubernetes' probes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamer.clock import Clock
from streamer.supervision.health import Health, ProbeKind, ProbeReport
from streamer.web.listener import listening

_EVERYWHERE, _LOOPBACK = "0.0.0.0", "127.0.0.1"  # noqa: S104 - in a container, probes come from outside
# Docker and Podman create these files in containers.
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))

_log = structlog.get_logger()

_PROBES = ("/healthz", "/readyz")


def default_host(environ: Mapping[str, str] = os.environ, marks: tuple[Path, ...] = _CONTAINER_MARKS) -> str:
    """Return the default host to listen on: all addresses in a container, and loopback elsewhere.

    Metrics name channels and subscribers, and need no sign-in. So outside of a
    container, only local programs can read them by default.
    """
    inside = "STREAMER_CONTAINER" in environ or "KUBERNETES_SERVICE_HOST" in environ
    return _EVERYWHERE if inside or any(mark.exists() for mark in marks) else _LOOPBACK


@contextmanager
def announced(host: str, port: int, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Write the probes' URL to the file in STREAMER_ADDRESS_FILE, if set, and remove the file afterwards."""
    name = environ.get("STREAMER_ADDRESS_FILE")
    if not name:
        yield
        return
    file = Path(name)
    file.write_text(f"http://{_connectable(host)}:{port}", encoding="ascii")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _connectable(host: str) -> str:
    if host in {_EVERYWHERE, "::", ""}:
        return "localhost"
    return f"[{host}]" if ":" in host else host


FRESH_S = 1.0
"""Time that one rendered page serves all scrapes."""
_Encoder: TypeAlias = Callable[[CollectorRegistry], bytes]


class Exposition:
    """Renders the metrics of `registry` in its own thread, at most once a second.

    For ten subscribers, a page takes a tenth of a second on a slow processor; without a
    separate thread, the page would block the event loop. Any number of scrapers costs
    at most one page per second and format.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._pages: dict[str, tuple[float, asyncio.Future[bytes]]] = {}

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, in the format that the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept)
        # A scrape that disconnects must not cancel the page for other scrapes.
        return await asyncio.shield(self._rendered(content_type, encode)), content_type

    def close(self) -> None:
        """End the thread after the current page."""
        self._thread.shutdown(wait=False)

    def _rendered(self, content_type: str, encode: _Encoder) -> asyncio.Future[bytes]:
        now = self._clock.monotonic()
        begun_at, page = self._pages.get(content_type, (now - FRESH_S, None))
        if page is None or (page.done() and now - begun_at >= FRESH_S):
            page = asyncio.get_running_loop().run_in_executor(self._thread, encode, self._registry)
            self._pages[content_type] = (now, page)
        return page


@asynccontextmanager
async def serving(health: Health, exposition: Exposition, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve `/metrics`, `/healthz` and `/readyz` inside the context; yields the port.

    `/healthz` (liveness) and `/readyz` (readiness) answer 200, or 503 when a probe
    fails. The JSON has the result of each probe, the problems and the `state` of the
    process in one word. The context closes the `exposition`. With port 0, the system
    chooses a free port. The image's health check finds the address in the file of
    `announced`. Raises `ConfigurationError` when the address is not available.
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
