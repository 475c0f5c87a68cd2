"""Two processes on one real Kafka: the console and the commands of each show the work of both."""

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.waiting import until

ORDERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two processes whose target refuses every order for now, and the org that they read."""

    sandbox: Sandbox
    daemons: tuple[Daemon, Daemon]
    operators: tuple[Operator, Operator]

    async def page(self, number: int, path: str) -> str:
        """Return the words of a page of one process's console."""
        url = f"{await admin_url(self.daemons[number])}/console{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return " ".join(re.sub("<[^>]+>", " ", await answer.text()).split())

    async def json(self, number: int, *command: str) -> Any:
        """Return what a command says of one process."""
        return (await self.operators[number].call(*command, "--json")).json


@pytest.fixture
async def pair(kafka: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two processes that share the partitions of one subscriber."""
    unique = uuid.uuid4().hex[:8]
    log = {"bootstrap_servers": kafka, "prefix": f"test-{unique}", "partitions": 4}
    log["topic"] = f"t{unique}.{{kind}}.{{name}}"
    async with FulfillmentReceiver(SystemClock()) as target, Sandbox(SystemClock()) as sandbox:
        target.faults.fail_keys, target.faults.fail_status = ":warehouse$", 503
        warehouse = {
            "uses": "fulfillment",
            "on": "salesforce.event.Order_Placed__e",
            "start": "earliest",
            "settings": {"url": target.url, "order": f"data.fields.{ORDER_KEY}"},
            "retry": {"fast_tries": 0, "first_delay_s": 3600, "max_delay_s": 3600},
        }
        subscribers = {"warehouse": warehouse}
        config = written(
            tmp_path, sandbox_configuration(sandbox.url, log={"kafka": log}, subscribers=subscribers)
        )
        async with Daemon.running(config) as one, Daemon.running(config) as other:
            await one.ready()
            await other.ready()
            for name in range(ORDERS):
                sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"10{name:02}"})
            yield Pair(
                sandbox=sandbox,
                daemons=(one, other),
                operators=(await Operator.of(one), await Operator.of(other)),
            )


async def test_each_process_shows_the_work_of_both(pair: Pair) -> None:
    """Sums, parked keys and names of both; after one is killed, the other says that it is missing."""

    async def both_report() -> list[dict[str, Any]]:
        found = await pair.json(0, "parked", "list", "--first", "100")
        names = {each["process"] for each in found["parked"]}
        return found["parked"] if found["total"] == ORDERS and len(names) == 2 else []

    parked = await until(both_report, every_s=1.0)
    assert {each["key"] for each in parked} == {f"10{name:02}" for name in range(ORDERS)}
    for number in (0, 1):
        flow = await until(partial(_with_all, pair, number), every_s=1.0)
        assert len(flow["process"]["others"]) == 1
        page = await pair.page(number, "")
        assert "2 processes:" in page
        assert f"Parked events {ORDERS}" in page
        assert "1000" in await pair.page(number, "/parked")

    await pair.daemons[1].kill()

    async def one_is_missing() -> str:
        found = await pair.page(0, "")
        return found if "has gone or does not answer" in found else ""

    page = await until(one_is_missing, every_s=2.0)
    assert f"pid {pair.daemons[1].pid} has gone or does not answer" in page
    assert "1 process:" in page
    for command in (("subscribers", "list"), ("parked", "list"), ("problems",)):
        told = await pair.operators[0].call(*command)
        assert f"pid {pair.daemons[1].pid} has gone or does not answer" in " ".join(told.output.split())


async def _with_all(pair: Pair, number: int) -> Any:
    """Return the map of one process if all orders are parked in it."""
    flow = await pair.json(number, "flow", "--live")
    return flow if sum(each["parked"] for each in flow["subscribers"]) == ORDERS else None


async def test_process_that_stops_is_not_missed(pair: Pair) -> None:
    """A rollout takes one process away on purpose."""

    async def others(number: int) -> list[str]:
        found: list[str] = (await pair.json(number, "flow", "--live"))["process"]["others"]
        return found

    assert len(await until(lambda: others(0), every_s=1.0)) == 1
    assert await pair.daemons[1].stop() == 0

    async def alone() -> bool:
        process = (await pair.json(0, "flow", "--live"))["process"]
        return not process["others"] and not process["missing"]

    await until(alone, every_s=1.0)
