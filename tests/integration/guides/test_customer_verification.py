"""The example of a customer who is verified, against a sandbox and a service on this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamer.app import App, plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.sandbox import OrgSettings, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.targets import ErpReceiver
from tests.integration.guides.pages import page

EXAMPLE = page("config/examples/customer-verification.yaml")
SCHEMA = {"objects": {"Account": {"fields": {"ERP_Id__c": {"type": "string", "length": 20}}}}}
ENVIRONMENT = {"SF_CLIENT_ID": "sandbox", "SF_CLIENT_SECRET": "sandbox-secret", "VERIFICATION_API_KEY": "key"}
# Nothing of the example: a log and ports that a test can use.
OF_A_TEST = "log: {{sqlite: {{path: {path}}}}}\nobserve: {{host: localhost, port: 0}}\nadmin: {{port: 0}}\n"


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

    def count(self, metric: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.app.metrics.registry.get_sample_value(f"streamer_{metric}", labels) or 0.0


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the receiver has no event for it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[App]:
    """Run the daemon of the example in this process."""
    app = App(plan=plan(load_document([path], ENVIRONMENT), SystemClock()), clock=SystemClock())
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(app.run(stopping))
        await until(lambda: app.ready)
        try:
            yield app
        finally:
            stopping.set()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Run the example."""
    settings = SandboxSettings(org=OrgSettings(schema=parse_schema(SCHEMA)))
    async with Sandbox(SystemClock(), settings=settings) as sandbox, ErpReceiver(SystemClock()) as service:
        org = f"{sandbox.url}\n  transport: cometd"
        text = EXAMPLE.replace("https://acme.my.salesforce.com", org)
        text = text.replace("https://verification.acme.com", service.url)
        path = tmp_path / "streamer.yaml"
        path.write_text(text + OF_A_TEST.format(path=tmp_path / "log.db"))
        async with running(path) as app:
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
