"""`streamer events` and `streamer tail` as processes, with a daemon in another process."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from streamer.cli.operating.api import Api
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests import commands
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import awaited, until
from tools.ports import free_ports

ORDER = "salesforce.event.Order_Placed__e"


def configuration(sandbox: Sandbox, target: FulfillmentReceiver, directory: Path, port: int) -> Path:
    """Write the configuration of a daemon with a shipper of all orders, and one of express orders."""
    of_order = {"order": f"data.fields.{ORDER_KEY}", "url": target.url}
    shipment = {
        "uses": "fulfillment",
        "on": ORDER,
        "start": "earliest",
        "receipts": True,
        "settings": of_order,
        "retry": {"fast_tries": 0, "first_delay_s": 3600, "max_delay_s": 3600},
    }
    express = shipment | {"when": f"starts_with(data.fields.{ORDER_KEY}, 'express')", "receipts": False}
    whole = sandbox_configuration(
        sandbox.url,
        log={"sqlite": {"path": str(directory / "log.db")}},
        subscribers={"shipment": shipment, "express": express},
    )
    return written(directory, whole | {"admin": {"port": port}})


@asynccontextmanager
async def parts(directory: Path) -> AsyncIterator[tuple[Sandbox, FulfillmentReceiver, Path]]:
    """Run an org and a target, and write the configuration of a daemon between them."""
    async with FulfillmentReceiver(SystemClock()) as target, Sandbox(SystemClock()) as sandbox:
        [port] = free_ports(1)
        yield sandbox, target, configuration(sandbox, target, directory, port)


async def stories(operator: Operator, key: str) -> list[dict[str, Any]]:
    """Return the stories of the events of a key, the oldest first."""
    api = Api(url=operator.environ["STREAMER_ADMIN_URL"])
    found = (await api.get("/events", record=key, order="oldest"))["events"]
    return [await api.get(f"/events/{each['id']}") for each in found]


def states(story: dict[str, Any]) -> dict[str, str]:
    """Return what became of an event, by subscriber."""
    return {each["name"]: each["state"] for each in story["subscribers"]}


async def test_story_tells_what_became_of_each_event(tmp_path: Path) -> None:
    """One was delivered and filtered out, one is a dead letter, one is parked and another behind it."""
    async with parts(tmp_path) as (sandbox, target, config), Daemon.running(config) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)

        def place(name: str) -> None:
            sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: name})

        place("good")
        await until(lambda: _holds(target, "good"))
        target.faults.fail_keys, target.faults.fail_status = ":shipment$", 422
        place("bad")
        await operator.dead_letters(1)
        target.faults.fail_status = 503
        place("late")
        await until(lambda: operator.parked(1))
        place("late")

        async def second_is_parked() -> bool:
            return bool((await operator.parked(1) or [{"events": 0}])[0]["events"] == 2)

        await until(second_is_parked)
        [good], [bad], [first, second] = [await stories(operator, each) for each in ("good", "bad", "late")]
        told = (await operator.call("events", "show", bad["event"]["id"])).output
        listed = (await operator.call("events", "find", "--type", "salesforce.event.*", "-n", "2")).output
        unknown = await operator.call("events", "show", "no-such-event")
        dead = await operator.call("events", "find", "--outcome", "dead")
        refused = await operator.call("events", "find", "--outcome", "lost")

    assert (dead.output.count(ORDER), "shipment dead" in dead.output) == (1, True)
    assert "Compared the outcomes of 4 events with --outcome." in dead.output
    assert (refused.status, "'retrying'" in refused.error) == (2, True)
    assert states(good) == {"shipment": "delivered", "express": "filtered"}
    shipment, express = good["subscribers"]
    assert (len(shipment["receipts"]), shipment["receipts"][0]["attempts"]) == (1, 1)
    assert "The event was filtered out: the condition `when` is not true" in express["said"][0]
    assert f'data.fields.{ORDER_KEY} is "good"' in express["said"][0]
    assert good["log"]["appended_at"]

    assert states(bad) == {"shipment": "dead_letter", "express": "filtered"}
    [letter] = bad["subscribers"][0]["dead_letters"]
    assert ("422" in letter["error"], "raw" in letter) == (True, False)
    assert "(rejected)" in told
    assert f"streamer deadletters redrive '{letter['id']}'" in told

    assert (states(first)["shipment"], states(second)["shipment"]) == ("parked", "parked")
    assert "The event is parked: 1 attempt failed" in first["subscribers"][0]["said"][0]
    behind = f"The event is parked behind event {first['event']['id']} of the same key"
    assert behind in second["subscribers"][0]["said"][0]

    assert listed.count(ORDER) == 2
    assert "The search read only a part of the log" in listed
    assert (unknown.status, "holds neither an event nor a dead letter with this id" in unknown.error) == (
        1,
        True,
    )


async def test_tail_goes_on_after_a_restart_of_the_daemon(tmp_path: Path) -> None:
    """It shows what its filters admit, says that the daemon is gone and back, and ends at Ctrl-C."""
    output, said = tmp_path / "shown", tmp_path / "said"
    expression = f"starts_with(data.fields.{ORDER_KEY}, 'a')"
    async with parts(tmp_path) as (sandbox, _, config):
        async with Daemon.running(config) as daemon:
            await daemon.ready()
            operator = await Operator.of(daemon)
            with output.open("wb") as stdout, said.open("wb") as stderr:
                process = await commands.start(
                    "tail", "--type", "salesforce.event.*", "--where", expression, "--json",
                    stdout=stdout, stderr=stderr, environ=operator.environ,
                )  # fmt: skip
            await until(lambda: _holds_text(said, "This command shows new events"))
            for name in ("banana", "apricot"):
                sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: name})
            await until(lambda: _holds_text(output, "apricot"))
            refused = await operator.call("tail", "--where", "nmae == 'x'")
            await daemon.kill()
        await until(lambda: _holds_text(said, "is lost"))
        async with Daemon.running(config) as daemon:
            await daemon.ready()
            await until(lambda: _holds_text(said, "The daemon answers again"))
            sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "avocado"})
            await until(lambda: _holds_text(output, "avocado"))
            process.send_signal(signal.SIGINT)
            status = await awaited(process.wait())

    shown = [orjson.loads(line) for line in output.read_text().splitlines()]
    assert [each["data"]["fields"][ORDER_KEY] for each in shown] == ["apricot", "avocado"]
    assert (status, "Traceback" in said.read_text()) == (0, False)
    assert (refused.status, "where: " in refused.error) == (1, True)


async def _holds_text(path: Path, text: str) -> bool:
    return text in await asyncio.to_thread(path.read_text)


async def _holds(target: FulfillmentReceiver, order: str) -> bool:
    return order in target.shipments
