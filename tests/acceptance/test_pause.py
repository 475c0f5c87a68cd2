"""A pause survives the daemon, and no event is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.kept import KeptInSqlite
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import reached, until

_BEFORE, _PAUSED, _KILLED = "before", "while paused", "after a restart"


@pytest.fixture
async def target() -> AsyncIterator[FulfillmentReceiver]:
    """A fulfilment service."""
    async with FulfillmentReceiver(SystemClock()) as receiver:
        yield receiver


@pytest.fixture
def config(sandbox: Sandbox, target: FulfillmentReceiver, tmp_path: Path) -> Path:
    """A daemon that has each order shipped."""
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "settings": {"url": target.url, "order": f"data.fields.{ORDER_KEY}"},
    }
    log = KeptInSqlite(tmp_path).configuration
    return written(tmp_path, sandbox_configuration(sandbox.url, log=log, subscribers={"shipment": shipment}))


async def test_pause_survives_a_restart_and_loses_nothing(
    sandbox: Sandbox, target: FulfillmentReceiver, config: Path, tmp_path: Path
) -> None:
    """A kill does not undo it; what came meanwhile waits in the log until somebody resumes."""
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        _place(sandbox, _BEFORE)
        await reached(lambda: len(target.journal), 1)
        paused = await (await Operator.of(daemon)).call(
            "subscribers", "pause", "shipment", "-r", "stocktaking"
        )
        assert paused.status == 0, paused.error
        _place(sandbox, _PAUSED)
        await until(lambda: _holds(tmp_path, 2))
        await daemon.kill()

    async with Daemon.running(config) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)
        _place(sandbox, _KILLED)
        await until(lambda: _holds(tmp_path, 3))
        [listed] = (await operator.call("subscribers", "list", "--json")).json["subscribers"]
        assert (listed["switch"], listed["reason"]) == ("paused", "stocktaking")
        assert listed["here"]["held"].startswith("paused: stocktaking")
        assert list(target.shipments) == [_BEFORE]

        assert (await operator.call("subscribers", "resume", "shipment")).status == 0
        await reached(lambda: len(target.journal), 3)
        assert await daemon.stop() == 0

    assert set(target.shipments) == {_BEFORE, _PAUSED, _KILLED}


def _place(sandbox: Sandbox, order: str) -> None:
    sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: order})


async def _holds(directory: Path, count: int) -> bool:
    return len(await KeptInSqlite(directory).events()) >= count
