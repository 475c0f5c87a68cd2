"""A stop drains, and the next run continues where the last one stopped."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.kept import KeptInSqlite
from tests.acceptance.sent import by_key, sent_by
from tests.configuration import ORDER_KEY, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import reached

_ORDERS = 120


@pytest.fixture
async def slow_target() -> AsyncIterator[FulfillmentReceiver]:
    """A fulfilment service that takes its time for each order."""
    async with FulfillmentReceiver(SystemClock()) as receiver:
        receiver.faults.slow_s = 0.1
        yield receiver


@pytest.fixture
def config(sandbox: Sandbox, slow_target: FulfillmentReceiver, tmp_path: Path) -> Path:
    """A daemon that has each order shipped."""
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "max_in_flight": 4,
        "settings": {"url": slow_target.url, "order": f"data.fields.{ORDER_KEY}"},
    }
    log = KeptInSqlite(tmp_path).configuration
    configuration = sandbox_configuration(sandbox.url, log=log, subscribers={"shipment": shipment})
    return written(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))


async def test_sigterm_drains_and_next_run_repeats_no_delivery(
    sandbox: Sandbox, slow_target: FulfillmentReceiver, config: Path, tmp_path: Path
) -> None:
    """Stopped in mid-stream with a slow target, it exits 0; the next run delivers the rest and no more."""
    sending = asyncio.create_task(_place_orders(sandbox), name="orders")
    journal = slow_target.journal
    async with Daemon.running(config) as daemon:
        await reached(lambda: len(journal), _ORDERS // 4)
        assert await daemon.stop() == 0
    before = len(journal.accepted)
    await sending
    async with Daemon.running(config) as daemon:
        await reached(lambda: len(journal), _ORDERS)
        assert await daemon.stop() == 0

    assert 0 < before < _ORDERS
    assert Counter(each.body["order"] for each in journal) == Counter(map(str, range(_ORDERS)))
    assert by_key(await KeptInSqlite(tmp_path).events()) == by_key(sent_by(sandbox))


async def test_second_instance_on_the_same_file_is_refused(config: Path) -> None:
    """The second daemon says in one sentence who has the file, and exits 1; the first goes on."""
    async with Daemon.running(config) as first:
        await first.ready()
        async with Daemon.running(config) as second:
            assert await second.ended() == 1

        [failed] = second.logged("daemon.failed")
        assert f"is in use by process {first.pid}: stop that process" in failed["reason"]
        assert (await first.probe("healthz"))[0] == 200


async def _place_orders(sandbox: Sandbox) -> None:
    for number in range(_ORDERS):
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(number)})
        await asyncio.sleep(0.01)
