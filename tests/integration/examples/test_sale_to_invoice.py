"""Sale to invoice and back: `config/examples/sale-to-invoice.yaml`."""

from pathlib import Path
from typing import Any

import pytest

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.sandbox import ApexCall, OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.targets import ErpReceiver
from tests.in_process import offer_plugins
from tests.integration.examples.running import Example
from tests.waiting import until

EXAMPLE = Example(name="sale-to-invoice.yaml")
SCHEMA = {
    "objects": {
        "Opportunity": {"fields": {"Invoice_Number__c": "string", "Invoice_Status__c": "string"}},
    },
    "events": {
        "Invoice_Posted__e": {
            "fields": dict.fromkeys(("Opportunity__c", "Number__c", "Status__c", "Reason__c"), "string")
        }
    },
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugins, however the package was installed."""
    offer_plugins(monkeypatch, erp="subscribers.erp:Erp", salesforce="subscribers.salesforce:Salesforce")


def win(sandbox: Sandbox, name: str) -> str:
    """Win an opportunity, and return its id."""
    fields = {"Name": name, "StageName": "Prospecting", "CloseDate": "2025-01-31", "Amount": 100}
    with sandbox.org.transaction() as transaction:
        opportunity = transaction.create("Opportunity", fields)
    with sandbox.org.transaction() as transaction:
        transaction.update("Opportunity", opportunity, {"StageName": "Closed Won"})
    return opportunity


def told(sandbox: Sandbox, opportunity: str, **fields: Any) -> None:
    """Let the ERP tell what became of an invoice."""
    sandbox.org.publish_platform_event("Invoice_Posted__e", {"Opportunity__c": opportunity, **fields})


def reopen(call: ApexCall) -> dict[str, str]:
    """Reopen an opportunity, as the org's own Apex class does."""
    opportunity = call.path.split("/")[2]
    with call.transaction() as transaction:
        transaction.update("Opportunity", opportunity, {"StageName": "Negotiation/Review"})
    return {"reopened": opportunity}


async def test_rules_hold_from_both_sides(tmp_path: Path) -> None:
    """The invoice, its number in the opportunity, a rejection, and a number that someone clears."""
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(SystemClock(), settings=settings) as sandbox, ErpReceiver(SystemClock()) as erp:
        sandbox.apex.rest("POST", "/opportunities/*/reopen", reopen)

        def of(opportunity: str, field: str) -> Any:
            return sandbox.org.retrieve("Opportunity", opportunity).get(field)

        async with EXAMPLE.running(sandbox, tmp_path, ERP_URL=erp.url, ERP_API_KEY="invented"):
            sold, refused = win(sandbox, "Sold"), win(sandbox, "Refused")
            await until(lambda: len(erp.documents) == 2)
            number = erp.documents["invoices", sold]["number"]
            told(sandbox, sold, Number__c=number, Status__c="Posted")
            told(sandbox, refused, Status__c="Rejected", Reason__c="credit")
            await until(lambda: of(sold, "Invoice_Number__c") and sandbox.apex.calls)
            with sandbox.org.transaction() as transaction:
                transaction.update("Opportunity", sold, {"Invoice_Number__c": None})
            await until(lambda: of(sold, "Invoice_Status__c") == "Number missing")

    assert set(erp.documents) == {("invoices", sold), ("invoices", refused)}
    assert {each["version"] for each in erp.documents.values()} == {1}
    [call] = sandbox.apex.calls
    assert (call.path, call.arguments) == (f"/opportunities/{refused}/reopen", {"reason": "credit"})
    assert of(refused, "StageName") == "Negotiation/Review"


def test_example_is_valid_as_it_stands() -> None:
    """Also for an editor, by the schema that its first line names."""
    environ = {
        "SF_LOGIN_URL": "https://acme.my.salesforce.com",
        "ERP_URL": "https://erp.acme.com",
        "ERP_API_KEY": "invented",
    }
    checked = plan(EXAMPLE.document(environ), SystemClock())

    assert set(checked.subscribers) == {"invoice", "invoice-number", "invoice-rejected", "invoice-kept"}
    assert EXAMPLE.schema_mistakes() == []
