"""A daemon on a bad day: Slack is down, and one order did not ship."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets.erp import ErpReceiver
from streamer.sandbox.targets.fulfillment import FulfillmentReceiver
from streamer.sandbox.targets.slack import SlackReceiver
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.waiting import until

_ORDERS = 6
_CREATED = "salesforce.cdc.Order.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageWorld:
    """Console at `url`/console of a running daemon; the order `stuck` was invoiced and did not ship."""

    url: str
    stuck: str

    @classmethod
    @asynccontextmanager
    async def running(cls, directory: Path) -> AsyncIterator["OutageWorld"]:
        """Run all inside the context, until Slack is down and the order is a dead letter."""
        clock = SystemClock()
        async with (
            ErpReceiver(clock) as erp,
            FulfillmentReceiver(clock) as warehouse,
            SlackReceiver(clock) as slack,
            Sandbox(clock) as sandbox,
        ):
            slack.faults.down = True
            configuration = sandbox_configuration(
                sandbox.url,
                log={"sqlite": {"path": str(directory / "log.db")}},
                subscribers=_subscribers(erp.url, warehouse.url, slack.webhook_url),
            )
            async with Daemon.running(written(directory, configuration)) as daemon:
                await daemon.ready()
                with sandbox.org.transaction() as transaction:
                    account = transaction.create("Account", {"Name": "Acme"})
                orders = []
                for number in range(_ORDERS):
                    with sandbox.org.transaction() as transaction:
                        orders.append(transaction.create("Order", _order(account, number)))
                    if not number:
                        warehouse.faults.fail_keys = rf"{re.escape(orders[0])}:shipment$"
                        warehouse.faults.fail_status = 422
                operator = await Operator.of(daemon)
                await operator.dead_letters(1)
                await until(lambda: _slack_is_down(operator))
                yield cls(url=await admin_url(daemon), stuck=orders[0])


def _order(account: str, number: int) -> dict[str, object]:
    return {"AccountId": account, "EffectiveDate": "2027-01-31", "Status": "Draft", "Name": f"Order {number}"}


def _subscribers(erp: str, warehouse: str, slack: str) -> dict[str, object]:
    return {
        "invoice": {
            "uses": "erp",
            "on": _CREATED,
            "start": "earliest",
            "body": {"reference": "subject"},
            "settings": {"url": f"{erp}/api/invoices", "external_id": "subject"},
        },
        "shipment": {
            "uses": "fulfillment",
            "after": "invoice",
            "settings": {"url": warehouse, "order": "subject"},
        },
        "slack": {
            "uses": "slack",
            "on": _CREATED,
            "start": "earliest",
            "text": "Order {{ subject }}",
            "settings": {"webhook_url": slack},
            "breaker": {"minimum": 3, "max_open_s": 600, "open_s": 600},
        },
    }


async def _slack_is_down(operator: Operator) -> bool:
    said = await operator.call("subscribers", "list", "--json")
    states = {each["name"]: each["state"] for each in said.json["subscribers"]} if said.status == 0 else {}
    return states.get("slack") == "target down"
