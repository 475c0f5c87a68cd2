"""A daemon that has one fault after the other: it ends, can't log in, can't write its log, and more.

The faults are mended as docs/alerts.md says.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.configuration import sandbox_configuration
from tests.integration.monitoring.observed import Observed
from tests.integration.monitoring.stretching import Look, Phase
from tools.ports import free_ports

ALERTS = frozenset(
    {
        "StreamerAbsent",
        "StreamerDeliveriesUnrecorded",
        "StreamerLogFillsUp",
        "StreamerLogUnavailable",
        "StreamerLoginAwaited",
        "StreamerOrgLimitLow",
        "StreamerProcessDown",
        "StreamerSubscriberHeld",
    }
)

_MIB = 1 << 20
_LARGEST = 64 * _MIB


@dataclass(slots=True)
class Way:
    """TCP forwarder between a daemon and an org's login, which can be closed."""

    to: URL
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _server: asyncio.Server | None = field(default=None, init=False)

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._forward, "localhost", self.port)

    def close(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self.to.host, self.to.port)
        with suppress(ConnectionError):
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while part := await reader.read(_MIB):
            writer.write(part)
            await writer.drain()
    finally:
        writer.close()


@dataclass(slots=True, kw_only=True)
class World:
    """An org, the way to it, a target, and a daemon between them."""

    sandbox: Sandbox
    way: Way
    target: FulfillmentReceiver
    observed: Observed
    phases: list[Phase] = field(default_factory=list)

    def create(self, count: int, *, size: int = 0) -> None:
        """Create so many accounts with a description of `size` characters."""
        for number in range(count):
            with self.sandbox.org.transaction() as transaction:
                transaction.create("Account", {"Name": f"Acme {number}", "Description": "x" * size})

    async def note(self, name: str, *alerts: str) -> None:
        """Add a phase of what is seen now."""
        began, ended = await self.observed.looks()
        self.phases.append(Phase(name=name, began=began, ended=ended, alerts=alerts, minutes=40))

    async def shows(self, name: str, holds: Callable[[float], bool], **labels: str) -> None:
        """Wait until a metric has a value as it should be."""

        def so(look: Look) -> bool:
            value = look.value(f"streamer_{name}", **labels)
            return value is not None and holds(value)

        await self.observed.shows(so, told=lambda look: look.value(f"streamer_{name}", **labels))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    """Yield everything, with the daemon ready."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(clock))
        target = await stack.enter_async_context(FulfillmentReceiver(clock))
        way = Way(URL(sandbox.url))
        await way.open()
        stack.callback(way.close)
        configuration = _configuration(f"http://localhost:{way.port}", target.url, folder)
        observed = await stack.enter_async_context(Observed(folder, configuration))
        await observed.start()
        yield World(sandbox=sandbox, way=way, target=target, observed=observed)


async def phases(world: World) -> list[Phase]:
    """Live through all faults, and the quiet times between them."""
    world.create(1)
    await world.shows("deliveries_total", bool, outcome="delivered")
    await world.note("before")
    for fault in (_ends, _is_locked, _has_few_requests, _is_full, _is_cut_off):
        await fault(world)
        await world.note(f"after: {fault.__name__}")
    return world.phases


async def _ends(world: World) -> None:
    """The process is killed; it is started again."""
    await world.observed.daemon.kill()
    await world.note("killed", "StreamerProcessDown", "StreamerAbsent")
    await world.observed.start()


async def _is_cut_off(world: World) -> None:
    """Nothing reaches the login after a restart; the way is opened."""
    await world.observed.stop()
    world.way.close()
    await world.observed.start(ready=False)
    await world.shows("login_awaited", bool)
    await world.note("cut off", "StreamerLoginAwaited")
    await world.way.open()
    await world.observed.daemon.ready()
    await world.shows("login_awaited", lambda value: not value)


async def _is_locked(world: World) -> None:
    """Another program keeps the log's file from being written; it is ended."""
    world.target.faults.slow_s = 1.5
    world.create(1)
    await world.shows("delivery_in_flight", bool)
    with closing(sqlite3.connect(_log(world), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await world.shows("unrecorded_seconds", lambda value: value > 1)
        await world.note("locked", "StreamerDeliveriesUnrecorded")
        other.execute("ROLLBACK")
    world.target.faults.slow_s = 0.0
    await world.shows("unrecorded_seconds", lambda value: not value)


async def _is_full(world: World) -> None:
    """A paused subscriber's events fill the log; the log is given more room, and the subscriber goes on."""
    await world.observed.call("subscribers", "pause", "shipment")
    await _resize(world, _MIB)
    world.create(400, size=4_000)
    await world.shows("ingest_events_total", lambda value: value >= 400)
    # The append after the one that fills the file has to wait.
    world.create(1)
    await world.shows("log_unavailable", bool)
    await world.shows("log_used_bytes", lambda value: value > 0.8 * _MIB)
    await world.note("full", "StreamerLogFillsUp", "StreamerLogUnavailable", "StreamerSubscriberHeld")
    await _resize(world, _LARGEST)
    await world.observed.call("subscribers", "resume", "shipment")
    await world.shows("delivery_lag_events", lambda value: not value)


async def _resize(world: World, size: int) -> None:
    world.observed.configuration["log"]["sqlite"]["max_bytes"] = size
    await world.observed.restart()


async def _has_few_requests(world: World) -> None:
    """Another client has used most of the day's requests; it is stopped, and the next day begins."""
    usage = world.sandbox.org.usage.api_requests
    most = usage.most
    usage.use(int(most * 0.85))
    # The limits are read every five minutes, and at the start.
    await world.observed.restart()
    await world.shows("org_limit_remaining", lambda value: value < most * 0.2, limit="DailyApiRequests")
    await world.note("few requests", "StreamerOrgLimitLow")
    await _control(world, "limits", {"api_requests": most * 10})
    await world.observed.restart()
    await world.shows("org_limit_remaining", lambda value: value > most, limit="DailyApiRequests")


async def _control(world: World, path: str, body: Any) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.put(f"{world.sandbox.url}/sandbox/{path}", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


def _log(world: World) -> Path:
    return Path(world.observed.configuration["log"]["sqlite"]["path"])


def _configuration(url: str, target: str, folder: Path) -> dict[str, Any]:
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.cdc.Account.created",
        "start": "earliest",
        "settings": {"url": target, "order": "subject"},
    }
    log = {"sqlite": {"path": str(folder / "log.db"), "max_bytes": _LARGEST}}
    configuration = sandbox_configuration(url, log=log, subscribers={"shipment": shipment})
    return {**configuration, "channels": configuration["channels"][:1]}
