"""A daemon applies a changed configuration while events flow, and refuses a wrong one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.kept import KeptInSqlite
from tests.acceptance.sent import by_key, sent_by
from tests.configuration import CHANGES, ORDER_KEY, ORDERS, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

_OLD_KEY, _NEW_KEY = "the-old-key", "the-new-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org, three services that could ship, and a configuration that changes."""

    sandbox: Sandbox
    steady: FulfillmentReceiver
    former: FulfillmentReceiver
    latter: FulfillmentReceiver
    directory: Path

    def configure(self, *names: str, **more: Any) -> Path:
        """Have what happens delivered to the services of these names."""
        subscribers = {name: self._shipment(name) for name in names}
        log = KeptInSqlite(self.directory).configuration
        return written(
            self.directory,
            sandbox_configuration(self.sandbox.url, log=log) | {"subscribers": subscribers} | more,
        )

    @contextmanager
    def ordering(self) -> Iterator[None]:
        """Place orders inside the context, without end."""
        task = asyncio.create_task(self._order(), name="orders")
        try:
            yield
        finally:
            task.cancel()

    def placed(self) -> list[str]:
        """Return the orders that were placed, in their order."""
        return list(by_key(sent_by(self.sandbox)))

    async def _order(self) -> None:
        number = 0
        while True:
            self.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"{number:06}"})
            number += 1
            await asyncio.sleep(0.01)

    def _shipment(self, name: str) -> dict[str, Any]:
        receiver: FulfillmentReceiver = getattr(self, name)
        return {
            "uses": "fulfillment",
            # Whatever a channel carries, because tests change the channels.
            "on": "salesforce.*",
            "settings": {
                "url": receiver.url,
                "order": f"data.fields.{ORDER_KEY}",
                "auth": {"kind": "api_key", "key": {"file": "key"}},
            },
        }


@pytest.fixture
async def world(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[World]:
    """All parts, running."""
    (tmp_path / "key").write_text(_OLD_KEY)
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(FulfillmentReceiver(SystemClock())) for _ in range(3)]
        for service in services:
            service.require_api_key(_OLD_KEY)
        steady, former, latter = services
        yield World(sandbox=sandbox, steady=steady, former=former, latter=latter, directory=tmp_path)


async def applied(daemon: Daemon, times: int) -> dict[str, Any]:
    """Wait until a configuration was applied as often, and return what was said of the last."""

    async def was_applied() -> bool:
        return len(daemon.logged("configuration.applied")) >= times

    await until(was_applied)
    return daemon.logged("configuration.applied")[-1]


async def took(service: FulfillmentReceiver, count: int) -> None:
    """Wait until a service has taken so many orders."""

    async def has_taken() -> bool:
        return len(shipped(service)) >= count

    await until(has_taken)


def shipped(service: FulfillmentReceiver) -> list[str]:
    """Return the orders that a service has taken, one entry for each time, by their numbers."""
    return sorted(each.body["order"] for each in service.journal if each.accepted)


async def test_change_starts_and_ends_subscribers_while_another_goes_on(world: World) -> None:
    """Nobody asks for it; what goes on repeats and misses nothing, and keeps its connections."""
    config = world.configure("steady", "former")
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        with world.ordering():
            await took(world.former, 20)
            world.configure("steady", "latter")
            said = await applied(daemon, 1)
            await took(world.latter, 20)
            after = len(shipped(world.former))
            await asyncio.sleep(0.2)
        assert (said["added"], said["removed"], said["changed"]) == (["latter"], ["former"], [])
        assert len(shipped(world.former)) == after
        await took(world.steady, len(world.placed()))
        first = world.placed().index(shipped(world.latter)[0])
        await took(world.latter, len(world.placed()) - first)
        page = await daemon.metrics_page()
        assert await daemon.stop() == 0

    assert shipped(world.steady) == world.placed()
    assert shipped(world.latter) == world.placed()[first:]
    assert 'subscriber="latter"' in page
    assert 'subscriber="former"' not in page


async def test_broken_file_is_refused_and_former_configuration_stays(world: World) -> None:
    """The mistake is named by file and line, the metric tells, and the mended file is taken."""
    config = world.configure("steady")
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        good = config.read_text()
        config.write_text(good.replace("uses: fulfillment", "uses: fullfilment"))
        daemon.hang_up()

        async def refused() -> bool:
            return await daemon.metric("streamer_configuration_applied") == 0

        await until(refused)
        [line] = daemon.logged("configuration.refused")
        with world.ordering():
            await took(world.steady, 20)
        config.write_text(good)
        daemon.hang_up()
        await applied(daemon, 1)
        # A page of metrics serves for a second.
        await until(lambda: daemon.metric("streamer_configuration_applied"))
        assert await daemon.stop() == 0
    assert "streamer.yaml:" in line["reason"]
    assert "fullfilment" in line["reason"]


async def test_changed_secret_is_taken_up(world: World) -> None:
    """A rotated key, mounted as a file: the target refuses the old one, and nothing is lost in between."""
    config = world.configure("steady")
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        with world.ordering():
            await took(world.steady, 20)
            world.steady.require_api_key(_NEW_KEY)
            (world.directory / "key").write_text(_NEW_KEY)
            said = await applied(daemon, 1)
            reached = len(world.placed())
        await took(world.steady, reached)
        assert await daemon.stop() == 0
    assert said["changed"] == ["steady"]
    assert shipped(world.steady) == world.placed()
    assert _NEW_KEY not in daemon.output


async def test_changed_channels_are_read_anew(world: World) -> None:
    """A channel that is added is read and one that is removed is not; the log misses and repeats nothing."""
    config = world.configure("steady", channels=[{"path": ORDERS, "start": "earliest", "key": ORDER_KEY}])
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        with world.ordering():
            await took(world.steady, 20)
            world.configure("steady")
            said = await applied(daemon, 1)
            reached = len(world.placed()) + 20
            await took(world.steady, reached)
        await took(world.steady, len(world.placed()))
        world.configure("steady", channels=[{"path": CHANGES, "start": "earliest"}])
        await applied(daemon, 2)

        async def only_changes_are_read() -> bool:
            page = await daemon.metrics_page()
            return f'streamer_channel_up{{channel="{CHANGES}"}} 1.0' in page and ORDERS not in page

        await until(only_changes_are_read)
        assert await daemon.stop() == 0
    assert said["salesforce_read_anew"]
    assert by_key(await KeptInSqlite(world.directory).events()) == by_key(sent_by(world.sandbox))
    assert shipped(world.steady) == world.placed()


async def test_refused_login_brings_former_one_back(world: World) -> None:
    """A wrong client secret is reported, and reading continues with the right one."""
    config = world.configure("steady")
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        config.write_text(config.read_text().replace("sandbox-secret", "mistyped-secret"))
        daemon.hang_up()

        async def refused() -> bool:
            return bool(daemon.logged("configuration.refused"))

        await until(refused)
        with world.ordering():
            await took(world.steady, 20)
        assert await daemon.metric("streamer_configuration_applied") == 0
        assert await daemon.stop() == 0
    assert "mistyped" not in daemon.output
