"""A daemon under many faults, a real Prometheus that scrapes it, and the data of the dashboard."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.integration.monitoring import many_faults, turned_faults
from tests.integration.monitoring.stretching import RULES, Look, Phase
from tools.monitoring.prometheus import Prometheus
from tools.monitoring.rows import ROWS

_EVERY = "500ms"
_VARIABLES = {"$job": ".*", "$channel": ".*", "$subscriber": ".*", "$__rate_interval": "5s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Phases of the daemon, those of the org's limits, and the number of values for each expression."""

    daemon: list[Phase]
    limits: list[Phase]
    values: Mapping[str, int]


async def live(folder: Path) -> Lived:
    """Live through all faults, and then ask for every panel and every recording rule."""
    limits = await turned_faults.limits()
    async with many_faults.opened(folder) as world, _serving(_page(limits)) as port:
        targets = [f"localhost:{world.observed.port}", f"localhost:{port}"]
        began = time.time()
        with Prometheus(folder, _settings(targets)) as prometheus:
            daemon = await many_faults.phases(world)
            await _seen_again()
            values = {
                each: await asyncio.to_thread(_count, prometheus, each, began) for each in expressions()
            }
    return Lived(daemon=daemon, limits=limits, values=values)


def expressions() -> Iterator[str]:
    """Yield the expressions of all panels, and the names of all recording rules."""
    for _, panels in ROWS:
        for panel in panels:
            yield from (query.expr for query in panel.queries)
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule["record"] for rule in group["rules"] if "record" in rule)


def _count(prometheus: Prometheus, expression: str, began: float) -> int:
    """Return how many values an expression had at any time, without those that are not a number."""
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    series = prometheus.range(expression, start=began, end=time.time())
    return sum(value != "NaN" for each in series for _, value in each["values"])


async def _seen_again() -> None:
    """Let Prometheus scrape what was seen last."""
    await asyncio.sleep(1.5)


def _settings(targets: list[str]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": _EVERY, "scrape_timeout": _EVERY, "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "streamer", "static_configs": [{"targets": targets}]}],
    }


def _page(limits: list[Phase]) -> str:
    """Return the page of the time at which the day's events are about to run out."""
    [used_up] = [phase.began for phase in limits if "StreamerDeliveredEventsRunOut" in phase.alerts]
    return "".join(_line(used_up, name) for name in used_up.values)


def _line(look: Look, series: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    name, labels = series
    own = ",".join(f'{label}="{value}"' for label, value in labels if label not in {"instance", "job"})
    return f"{name}{{{own}}} {look.values[series]!r}\n" if name.startswith("streamer_org_limit") else ""


@asynccontextmanager
async def _serving(page: str) -> AsyncIterator[int]:
    """Serve `page` at `/metrics`."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=page)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
