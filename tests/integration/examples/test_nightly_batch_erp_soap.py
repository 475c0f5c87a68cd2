"""SOAP instead of a nightly batch: each invoice reaches the ERP once, even after lost answers."""

from dataclasses import replace
from pathlib import Path

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import SoapErpReceiver
from tests.integration.examples.running import Example
from tests.waiting import until

EXAMPLE = Example(name="nightly-batch-erp-soap.yaml")
ORDERS = [f"A-{number:03}" for number in range(12)]
POSTED, CLOSED = "2025-02-03", "2025-01-31"
# The first attempt, and the retries before a key is parked.
FROM_MEMORY = 4


def request(sandbox: Sandbox, order: str, *, amount: float, date: str = POSTED) -> None:
    """Request the invoice of an order, as the org does."""
    fields = {"Order_No__c": order, "Customer_No__c": "C & <D>", "Amount__c": amount, "Currency__c": "EUR"}
    sandbox.org.publish_platform_event("Invoice_Requested__e", {**fields, "Posting_Date__c": date})


async def test_each_invoice_reaches_the_erp_once(tmp_path: Path) -> None:
    """Those of one order in their order; one of a closed period is refused, and holds up no other."""
    clock = SystemClock()
    erp = SoapErpReceiver(clock).require_user("streamer", "invented")
    async with Sandbox(clock) as sandbox, erp:
        erp.refuses_duplicates, erp.faults.lose_answers, erp.closed_until = True, 1, CLOSED
        environ = {"ERP_URL": erp.service_url, "ERP_PASSWORD": "invented"}
        async with EXAMPLE.running(sandbox, tmp_path, **environ):
            request(sandbox, "B-001", amount=1, date=CLOSED)
            for order in ORDERS:
                request(sandbox, order, amount=100.5)
                request(sandbox, order, amount=200)

            async def are_written() -> bool:
                amounts = [erp.invoices.get(order, {}).get("invoice", {}).get("Amount") for order in ORDERS]
                return set(amounts) == {"200"}

            await until(are_written)

    assert {order: erp.invoices[order]["version"] for order in ORDERS} == dict.fromkeys(ORDERS, 2)
    assert erp.invoices["A-000"]["invoice"] == {
        "Reference": "A-000",
        "Customer": "C & <D>",
        "Amount": "200",
        "Currency": "EUR",
        "PostingDate": POSTED,
    }
    assert "B-001" not in erp.invoices
    assert any(record.status == 500 for record in erp.journal)


async def test_invoice_of_a_closed_period_is_written_once_it_is_open_again(tmp_path: Path) -> None:
    """By a later attempt, made from the log; the next invoice of the order waits behind it."""
    clock = SystemClock()
    erp = SoapErpReceiver(clock).require_user("streamer", "invented")
    async with Sandbox(clock) as sandbox, erp:
        erp.closed_until = CLOSED
        environ = {"ERP_URL": erp.service_url, "ERP_PASSWORD": "invented"}
        async with replace(EXAMPLE, first_delay_s=0.02).running(sandbox, tmp_path, **environ):
            request(sandbox, "B-001", amount=1, date=CLOSED)
            request(sandbox, "B-001", amount=2)

            async def is_parked() -> bool:
                return len(erp.journal) > FROM_MEMORY + 1

            async def are_written() -> bool:
                return bool(erp.invoices.get("B-001", {}).get("version") == 2)

            await until(is_parked)
            refused = list(erp.journal)
            erp.closed_until = ""
            await until(are_written)

    assert {record.status for record in refused} == {500}
    written = [record.body for record in erp.journal if record.accepted]
    assert ["<Amount>1<" in written[0], "<Amount>2<" in written[1]] == [True, True]
    assert not any("<Amount>2<" in record.body for record in refused)


def test_example_is_valid_as_it_stands() -> None:
    """Also for an editor, by the schema that its first line names."""
    environ = {
        "SF_LOGIN_URL": "https://acme.my.salesforce.com",
        "ERP_URL": "https://erp.acme.internal/soap/invoices",
        "ERP_PASSWORD": "invented",
    }
    checked = plan(EXAMPLE.document(environ), SystemClock())

    assert set(checked.subscribers) == {"invoice"}
    assert EXAMPLE.schema_mistakes() == []
