"""A daemon with something on every page of its console."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.waiting import until

TOKEN = "canary-token-of-the-console"
ORDERS = ("1001", "1002", "1003", "1004", '<b title="x">1005</b>')


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org, a running daemon and its operator at a terminal; the console is at `url`/console.

    `stories` are the paths of the stories of the orders, by their names.
    """

    sandbox: Sandbox
    daemon: Daemon
    operator: Operator
    url: str
    stories: Mapping[str, str]

    @classmethod
    @asynccontextmanager
    async def running(cls, directory: Path) -> AsyncIterator["World"]:
        """Run all inside the context: orders have become dead letters, parked keys and lines of a file."""
        async with (
            FulfillmentReceiver(SystemClock()) as refusing,
            FulfillmentReceiver(SystemClock()) as ailing,
            Sandbox(SystemClock()) as sandbox,
        ):
            refusing.faults.fail_keys, refusing.faults.fail_status = ":shipment$", 422
            ailing.faults.fail_keys, ailing.faults.fail_status = ":warehouse$", 503
            configuration = sandbox_configuration(
                sandbox.url,
                log={"sqlite": {"path": str(directory / "log.db")}},
                subscribers={
                    "shipment": _orders_to(refusing.url),
                    "warehouse": _orders_to(ailing.url)
                    | {"retry": {"fast_tries": 0, "first_delay_s": 3600, "max_delay_s": 3600}},
                    "archive": {"uses": "file", "on": "*", "settings": {"path": str(directory / "archive")}},
                },
            )
            configuration["admin"]["token"] = TOKEN
            with sandbox.org.transaction() as transaction:
                accounts = [transaction.create("Account", {"Name": f"Acme {n}"}) for n in range(20)]
            async with Daemon.running(written(directory, configuration)) as daemon:
                await daemon.ready()
                operator = await Operator.of(daemon, STREAMER_ADMIN_TOKEN=TOKEN)
                sandbox.faults.gap_changes("Account", on=["update"])
                with sandbox.org.transaction() as transaction:
                    transaction.update("Account", accounts[0], {"Name": "Acme, renamed"})
                for name in ORDERS:
                    sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: name})
                await operator.dead_letters(len(ORDERS))
                await until(lambda: operator.parked(len(ORDERS)))
                found = await operator.call("events", "find", "--type", "*.Order_Placed__e", "--json")
                yield cls(
                    sandbox=sandbox,
                    daemon=daemon,
                    operator=operator,
                    url=await admin_url(daemon),
                    stories={
                        each["key"]: f"/events/{quote(each['id'], safe='')}" for each in found.json["events"]
                    },
                )


def _orders_to(url: str) -> dict[str, object]:
    return {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "settings": {"url": url, "order": f"data.fields.{ORDER_KEY}"},
    }
