"""A process that was frozen while others took over its work sends none of this work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.kept import KeptInKafka
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

pytestmark = pytest.mark.heavy

_ORDERS = 1_600
_IN_FLIGHT = 8
_SLOW_S = 0.05
_LONG_S = 4.0
# No process loses what it has by being slow for a moment.
_SESSION_S = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipper:
    """One of the processes that share a subscriber, and what it alone has sent."""

    daemon: Daemon
    target: FulfillmentReceiver

    @property
    def orders(self) -> list[str]:
        """The orders in its requests."""
        return [received.body["order"] for received in self.target.journal]


@pytest.fixture
async def shippers(sandbox: Sandbox, kafka: str, tmp_path: Path) -> AsyncIterator[Sequence[Shipper]]:
    """Two processes that begin to ship the orders in the log, each through a target of its own."""
    async with KeptInKafka(kafka).reading() as kept, AsyncExitStack() as stack:
        kept.configuration["kafka"]["session_timeout_s"] = _SESSION_S
        targets = [await stack.enter_async_context(FulfillmentReceiver(SystemClock())) for _ in range(2)]
        configs = [_config(sandbox, kept, target, tmp_path / str(n)) for n, target in enumerate(targets)]
        place_orders(sandbox, _ORDERS)
        await stack.enter_async_context(Daemon.running(configs[0], "--role", "ingest"))

        async def all_kept() -> bool:
            return await kept.reached(_ORDERS)

        await until(all_kept)
        daemons = [
            await stack.enter_async_context(Daemon.running(config, "--role", "dispatch"))
            for config in configs
        ]
        yield [Shipper(daemon=daemon, target=target) for daemon, target in zip(daemons, targets, strict=True)]


def _config(sandbox: Sandbox, kept: KeptInKafka, target: FulfillmentReceiver, directory: Path) -> Path:
    directory.mkdir()
    target.faults.slow_s = _SLOW_S
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "max_in_flight": _IN_FLIGHT,
        "settings": {"url": target.url, "order": f"data.fields.{ORDER_KEY}"},
    }
    return written(
        directory,
        sandbox_configuration(sandbox.url, log=kept.configuration, subscribers={"shipment": shipment}),
    )


def place_orders(sandbox: Sandbox, count: int, *, since: int = 0) -> None:
    """Place orders with numbers from `since` on."""
    for number in range(since, since + count):
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(number)})


async def test_frozen_process_sends_nothing_that_another_one_has_taken_over(
    sandbox: Sandbox, shippers: Sequence[Shipper]
) -> None:
    """Stopped for longer than its session, it goes on only once the log has taken a record of it."""
    frozen, other = shippers
    await until(lambda: _all_began(shippers))
    # Frozen while every attempt waits for its answer, and none is about to be sent.
    frozen.target.faults.slow_s = _LONG_S
    await asyncio.sleep(_LONG_S / 2)
    frozen.daemon.freeze()
    await asyncio.sleep(2 * _LONG_S)
    sent = frozen.orders
    await until(lambda: _shipped(shippers, _ORDERS), progress=lambda: [len(each.orders) for each in shippers])
    frozen.target.faults.slow_s = 0
    frozen.daemon.thaw()
    await until(lambda: _went_on(frozen.daemon))

    assert frozen.orders == sent
    assert [line["level"] for line in _froze(frozen.daemon)] == ["warning"]
    # These were in flight when the other process joined, and when this one was frozen.
    repeated = Counter(sent + other.orders).total() - _ORDERS
    assert repeated <= 2 * _IN_FLIGHT
    place_orders(sandbox, 30, since=_ORDERS)
    await until(
        lambda: _shipped(shippers, _ORDERS + 30), progress=lambda: [len(each.orders) for each in shippers]
    )
    assert len(frozen.orders) > len(sent)


async def _all_began(shippers: Sequence[Shipper]) -> bool:
    return all(len(shipper.orders) > 2 * _IN_FLIGHT for shipper in shippers)


async def _shipped(shippers: Sequence[Shipper], count: int) -> bool:
    return len({order for shipper in shippers for order in shipper.orders}) == count


async def _went_on(daemon: Daemon) -> bool:
    ends = [line["timestamp"] for line in daemon.logged("dispatch.resumed")]
    # It may have waited for a record before, while the partitions moved.
    return any(line["timestamp"] < max(ends, default="") for line in _froze(daemon))


def _froze(daemon: Daemon) -> list[dict[str, Any]]:
    return daemon.logged("dispatch.frozen")
