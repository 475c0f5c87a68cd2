"""Probes report an unreachable broker and a stuck process."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.sandbox import Sandbox
from tests.acceptance.kept import KeptInKafka, KeptInSqlite
from tests.configuration import ORDER_KEY, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until
from tools.kafka.broker import Broker

_STUCK_AFTER_S = 2

# Plugins as anybody may write them.
_PLUGINS = """
import asyncio, time
from pydantic import BaseModel


class NoSettings(BaseModel):
    pass


class Plugin:
    Settings = NoSettings

    def __init__(self, settings, context):
        self.password = "sesame-1234"

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass


class Blocks(Plugin):
    async def deliver(self, delivery):
        password = self.password
        time.sleep(600)


class NeverReturns(Plugin):
    async def deliver(self, delivery):
        password = self.password
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
"""


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker of our own, which is frozen."""
    with Broker() as running:
        yield running


async def test_frozen_broker_makes_unready_and_never_fails_liveness(
    broker: Broker, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With an append under way, for longer than the limit of what is stuck; after the thaw it goes on."""
    log = KeptInKafka(broker.bootstrap).configuration
    log["kafka"] |= {"append_deadline_s": 3, "checkpoint_partitions": 1}
    configuration = _configuration(sandbox, log, "never-returns", on="salesforce.cdc.Account.*")
    configuration["observe"]["stuck_after_s"] = 12
    config = written(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))
    async with Daemon.running(config, environ=_plugins(tmp_path)) as daemon:
        await daemon.ready()
        broker.freeze()
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})
        alive = asyncio.create_task(_stays_alive(daemon, for_s=20))

        async def is_unready() -> str:
            _, body = await daemon.probe("readyz")
            return str(body["checks"]["log"]["says"]) if not body["checks"]["log"]["ok"] else ""

        assert f"No broker at {broker.bootstrap} has answered" in await until(is_unready)
        await alive
        broker.thaw()
        await daemon.ready()
        await until(lambda: daemon.metric("streamer_ingest_events_total"))


async def test_daemon_that_starts_before_its_broker_waits_for_it(
    broker: Broker, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It is alive and says what it waits for; nobody has to start it again."""
    config = written(
        tmp_path, sandbox_configuration(sandbox.url, log=KeptInKafka(broker.bootstrap).configuration)
    )
    broker.freeze()
    async with Daemon.running(config) as daemon:
        await daemon.started()
        await until(_said(daemon, "log.unavailable"))
        assert (await daemon.probe("healthz"))[0] == 200
        assert broker.bootstrap in (await daemon.probe("readyz"))[1]["checks"]["connections"]["says"]
        broker.thaw()
        await daemon.ready()
        assert await daemon.stop() == 0


async def test_plugin_that_never_returns_is_found_stuck(sandbox: Sandbox, tmp_path: Path) -> None:
    """Liveness says which subscriber, and the log where it stands, without variables."""
    config = written(tmp_path, _configuration(sandbox, KeptInSqlite(tmp_path).configuration, "never-returns"))
    async with Daemon.running(config, environ=_plugins(tmp_path)) as daemon:
        await daemon.ready()
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})

        async def fails() -> dict[str, Any] | None:
            status, body = await daemon.probe("healthz")
            return body if status == 503 else None

        problems = (await until(fails))["problems"]
        [found, *_] = await until(_said(daemon, "stuck.found"))
        assert any("The subscriber target has stalled for " in problem for problem in problems)
        assert any("in deliver" in stack and "await asyncio.sleep(600)" in stack for stack in found["stacks"])
        assert "sesame-1234" not in daemon.output
        assert 'streamer_stuck{kind="subscriber",name="target"} 1.0' in await daemon.metrics_page()


async def test_plugin_that_blocks_the_loop_is_told_of(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nobody can be asked any more, but the stacks are written, without variables."""
    config = written(tmp_path, _configuration(sandbox, KeptInSqlite(tmp_path).configuration, "blocks"))
    async with Daemon.running(config, environ=_plugins(tmp_path)) as daemon:
        await daemon.ready()
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})

        async def is_dumped() -> bool:
            return f"Timeout (0:00:0{_STUCK_AFTER_S})!" in daemon.output and "in deliver" in daemon.output

        await until(is_dumped)
        assert "sesame-1234" not in daemon.output


def _configuration(
    sandbox: Sandbox, log: dict[str, Any], plugin: str, *, on: str = "salesforce.event.*"
) -> dict[str, Any]:
    target = {"uses": plugin, "on": on, "start": "earliest", "deliver_timeout_s": 0.2}
    configuration = sandbox_configuration(sandbox.url, log=log, subscribers={"target": target})
    configuration["observe"]["stuck_after_s"] = _STUCK_AFTER_S
    return configuration


def _plugins(directory: Path) -> dict[str, str]:
    """Install the plugins for one process, as a package would be."""
    site = directory / "site"
    info = site / "slow_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "slow_plugins.py").write_text(_PLUGINS, encoding="utf-8")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: slow-plugins\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        "[streamer.subscribers]\nblocks = slow_plugins:Blocks\nnever-returns = slow_plugins:NeverReturns\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(site)}


def _said(daemon: Daemon, event: str) -> Any:
    async def logged() -> list[dict[str, Any]]:
        return daemon.logged(event)

    return logged


async def _stays_alive(daemon: Daemon, *, for_s: float) -> None:
    end = asyncio.get_running_loop().time() + for_s
    while asyncio.get_running_loop().time() < end:
        status, body = await daemon.probe("healthz")
        assert status == 200, body
        await asyncio.sleep(0.1)
