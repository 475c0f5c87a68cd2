"""Customer verification: an account is active after the service has verified it, and never before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from streamer.app.daemon import App
from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.events import SubscriberName
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.targets import ErpReceiver
from tests.contracts.values import an_event
from tests.in_process import offer_plugins
from tests.integration.examples.running import Example
from tests.waiting import until

EXAMPLE = Example(name="customer-verification.yaml")
FIELDS = {
    "ERP_Id__c": {"type": "string", "length": 20},
    "Active__c": "boolean",
    "Verification_Number__c": "string",
}
SCHEMA = {"objects": {"Account": {"fields": FIELDS}}}
ENVIRON = {
    "SF_LOGIN_URL": "https://acme.my.salesforce.com",
    "VERIFICATION_URL": "https://verification.acme.com",
    "VERIFICATION_API_KEY": "invented",
}
VERIFICATION, ACTIVATION = SubscriberName("verification"), SubscriberName("activation")
INACTIVE = (False, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An org, and the service that verifies its customers."""

    sandbox: Sandbox
    service: ErpReceiver
    app: App

    def create(self, **fields: Any) -> str:
        """Create an account, and return its id."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create("Account", fields)

    async def verified(self, record_id: str) -> Any:
        """Return what the service was asked about an account."""
        await until(lambda: ("customers", record_id) in self.service.documents)
        return self.service.documents["customers", record_id]["document"]

    def activation(self, record_id: str) -> tuple[bool, str | None]:
        """Return whether an account is active, and the number of its verification."""
        record = self.sandbox.org.retrieve("Account", record_id)
        return bool(record.get("Active__c")), record.get("Verification_Number__c")

    def count(self, metric: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.app.observers.metrics.registry.get_sample_value(f"streamer_{metric}", labels) or 0.0


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugins, however the package was installed."""
    offer_plugins(monkeypatch, erp="subscribers.erp:Erp", salesforce="subscribers.salesforce:Salesforce")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Run the example."""
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(SystemClock(), settings=settings) as sandbox, ErpReceiver(SystemClock()) as service:
        environ = ENVIRON | {"SF_LOGIN_URL": sandbox.url, "VERIFICATION_URL": service.url}
        async with EXAMPLE.running(sandbox, tmp_path, **environ) as app:
            yield Desk(sandbox=sandbox, service=service, app=app)


async def test_customer_is_verified_with_its_group_and_its_owner(desk: Desk) -> None:
    """One without a group has none; one whose group is gone has null."""
    group = desk.create(Name="Acme Group", ERP_Id__c="G-7")
    alone, one = await desk.verified(group), desk.create(Name="Acme", Industry="Energy", ParentId=group)

    assert (alone["name"], "group" in alone, "group_id" in alone) == ("Acme Group", False, False)
    assert (await desk.verified(one)).items() >= {
        "customer": one,
        "name": "Acme",
        "industry": "Energy",
        "group": "Acme Group",
        "group_id": "G-7",
    }.items()
    assert alone["owner"] == desk.sandbox.org.settings.name


async def test_account_is_activated_once_it_is_verified(desk: Desk) -> None:
    """Not while the service is down; and the activation starts no second round."""
    verification = desk.app.dispatching.dispatchers[VERIFICATION]
    desk.service.faults.down = True
    first = desk.create(Name="Acme")
    await until(lambda: verification.status.last_failure)
    assert desk.activation(first) == INACTIVE

    desk.service.faults.down = False
    await until(lambda: desk.activation(first) != INACTIVE)
    # Before this one is activated, the change by the activation of the first has been read.
    second = desk.create(Name="Globex")
    await until(lambda: desk.activation(second) != INACTIVE)

    assert desk.activation(first) == (True, "CUS-000001")
    assert desk.activation(second) == (True, "CUS-000002")
    assert [each.path for each in desk.service.journal] == [
        f"/api/customers/{each}" for each in (first, second)
    ]
    # Each account was created, and changed once.
    assert desk.sandbox.org.published == 4


async def test_account_that_is_refused_stays_inactive(desk: Desk) -> None:
    """While others are activated."""
    desk.service.faults.fail_keys, desk.service.faults.fail_status = ".", 422
    refused = desk.create(Name="Initech")
    await until(
        lambda: desk.count("dead_letters_total", stage="dispatch", subscriber=VERIFICATION, reason="rejected")
    )
    desk.service.faults.fail_keys = None
    later = desk.create(Name="Globex")
    await until(lambda: desk.activation(later) != INACTIVE)

    assert desk.activation(refused) == INACTIVE


async def test_look_ups_of_many_customers_cost_few_calls(desk: Desk) -> None:
    """A thousand accounts of a hundred groups are read by a handful of calls."""
    with desk.sandbox.org.transaction() as transaction:
        groups = [transaction.create("Account", {"Name": f"Group {number}"}) for number in range(100)]
    await until(lambda: len(desk.service.documents) == 100)
    before = desk.count("lookup_calls_total", result="answered")
    with desk.sandbox.org.transaction() as transaction:
        for number in range(1_000):
            transaction.create("Account", {"Name": f"No {number}", "ParentId": groups[number % 100]})
    await until(lambda: len(desk.service.documents) == 1_100)

    calls = desk.count("lookup_calls_total", result="answered") - before
    # Each record is read for itself, 200 at once; the groups and the owner are known.
    assert calls <= 15
    names = {each["document"].get("group") for each in desk.service.documents.values()}
    assert names == {None, *(f"Group {number}" for number in range(100))}


@pytest.mark.parametrize(
    ("answer", "expected"), [({"number": "CUS-000001"}, True), ({"status": "queued"}, False), ({}, False)]
)
def test_answer_without_a_number_activates_nothing(answer: dict[str, str], *, expected: bool) -> None:
    """A service can take a customer without verifying it."""
    receipts = {"verification": {"outcome": "delivered", "answer": answer}}
    event = replace(an_event("1", what="salesforce.cdc.Account.created"), receipts=receipts)

    assert plan(EXAMPLE.document(ENVIRON), SystemClock()).admits(ACTIVATION)(event) is expected


def test_example_is_valid_as_it_stands() -> None:
    """Also for an editor, by the schema that its first line names."""
    checked = plan(EXAMPLE.document(ENVIRON), SystemClock())

    assert set(checked.subscribers) == {VERIFICATION, ACTIVATION}
    assert EXAMPLE.schema_mistakes() == []
