"""Sale to shipment: each step once, after the step before it, and both numbers in the opportunity."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.events import SubscriberName
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver, SlackReceiver
from tests.in_process import offer_plugins
from tests.integration.examples.running import Example
from tests.waiting import until

EXAMPLE = Example(name="sale-to-shipment.yaml")
NUMBERS = ("Invoice_Number__c", "Shipment_Number__c", "Shipment_Status__c", "Shipment_Error__c")
SCHEMA = {"objects": {"Opportunity": {"fields": dict.fromkeys(NUMBERS, "string")}}}
ENVIRONMENT = {
    "SF_LOGIN_URL": "https://acme.my.salesforce.com",
    "ERP_URL": "https://erp.acme.com",
    "ERP_API_KEY": "invented",
    "FULFILLMENT_URL": "https://fulfillment.acme.com/v1",
    "FULFILLMENT_API_KEY": "invented",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/invented",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """An org, and the targets of the example."""

    sandbox: Sandbox
    erp: ErpReceiver
    fulfillment: FulfillmentReceiver
    slack: SlackReceiver

    @property
    def environ(self) -> dict[str, str]:
        """The variables of the example."""
        return ENVIRONMENT | {
            "SF_LOGIN_URL": self.sandbox.url,
            "ERP_URL": self.erp.url,
            "FULFILLMENT_URL": self.fulfillment.url,
            "SLACK_WEBHOOK_URL": self.slack.webhook_url,
        }

    def open(self, name: str) -> str:
        """Create an opportunity, and return its id."""
        fields = {"Name": name, "StageName": "Prospecting", "CloseDate": "2025-01-31", "Amount": 100}
        with self.sandbox.org.transaction() as transaction:
            return transaction.create("Opportunity", fields)

    def win(self, opportunity: str) -> None:
        """Win an opportunity."""
        with self.sandbox.org.transaction() as transaction:
            transaction.update("Opportunity", opportunity, {"StageName": "Closed Won"})

    def written(self, opportunity: str) -> dict[str, Any]:
        """Return what the opportunity says of its invoice and its shipment."""
        record = self.sandbox.org.retrieve("Opportunity", opportunity)
        return {name: record[name] for name in NUMBERS if record.get(name) is not None}


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    """Run the org and the targets."""
    clock, settings = SystemClock(), SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with (
        Sandbox(clock, settings=settings) as sandbox,
        ErpReceiver(clock) as erp,
        FulfillmentReceiver(clock) as fulfillment,
        SlackReceiver(clock) as slack,
    ):
        yield Company(sandbox=sandbox, erp=erp, fulfillment=fulfillment, slack=slack)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugins, however the package was installed."""
    offer_plugins(
        monkeypatch,
        erp="subscribers.erp:Erp",
        fulfillment="subscribers.fulfillment:Fulfillment",
        salesforce="subscribers.salesforce:Salesforce",
        slack="subscribers.slack:Slack",
    )


async def test_sale_is_invoiced_then_shipped_then_told(company: Company, tmp_path: Path) -> None:
    """Each step once and in turn; the write-back starts no second round, and a loss starts nothing."""
    erp, fulfillment, slack = company.erp, company.fulfillment, company.slack
    first, second = company.open("Acme"), company.open("Globex")
    erp.faults.down = True
    async with EXAMPLE.running(company.sandbox, tmp_path, **company.environ) as daemon:
        company.win(first)
        invoice = daemon.dispatching.dispatchers[SubscriberName("invoice")]
        await until(lambda: invoice.status.last_failure)
        assert (fulfillment.shipments, slack.messages, company.written(first)) == ({}, [], {})
        erp.faults.down = False
        await until(lambda: len(slack.messages) == 1)
        # Before this one is told, the change by the write-back to the first has been read.
        company.win(second)
        await until(lambda: len(slack.messages) == 2)

    assert [each["text"] for each in slack.messages] == [
        "Acme won, 100.00: invoice INV-000001, shipment SHP-000001",
        "Globex won, 100.00: invoice INV-000002, shipment SHP-000002",
    ]
    assert company.written(first) == {
        "Invoice_Number__c": "INV-000001",
        "Shipment_Number__c": "SHP-000001",
        "Shipment_Status__c": "Shipped",
    }
    assert [each.path for each in erp.journal] == [f"/api/invoices/{each}" for each in (first, second)]
    assert [each.body for each in fulfillment.journal] == [
        {"order": first, "invoice": "INV-000001"},
        {"order": second, "invoice": "INV-000002"},
    ]


async def test_opportunity_says_why_nothing_is_shipped(company: Company, tmp_path: Path) -> None:
    """Of what fulfilment refuses for good, people read nothing; the opportunity names invoice and reason."""
    opportunity = company.open("Initech")
    company.fulfillment.faults.fail_keys, company.fulfillment.faults.fail_status = ".", 422
    async with EXAMPLE.running(company.sandbox, tmp_path, **company.environ):
        company.win(opportunity)
        await until(lambda: company.written(opportunity))

    written = company.written(opportunity)
    assert (written["Invoice_Number__c"], written["Shipment_Status__c"]) == ("INV-000001", "Refused")
    assert re.search("422", written["Shipment_Error__c"])
    assert (company.slack.messages, "Shipment_Number__c" in written) == ([], False)


def test_example_is_valid_as_it_stands() -> None:
    """Also for an editor, by the schema that its first line names."""
    checked = plan(EXAMPLE.document(ENVIRONMENT), SystemClock())

    assert set(checked.subscribers) == {
        "invoice",
        "shipment",
        "write-back",
        "sales-channel",
        "shipment-refused",
    }
    assert EXAMPLE.schema_mistakes() == []
