"""A daemon that keeps records which it has looked up reads them again after their changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.app.daemon import App
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.configuration import sandbox_configuration, written
from tests.in_process import offer_plugins, running
from tests.waiting import until


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugin, however the package was installed."""
    offer_plugins(monkeypatch, file="subscribers.file:File")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An org, and the files of its subscribers."""

    sandbox: Sandbox
    app: App
    folder: Path

    def create(self, sobject: str, **fields: Any) -> str:
        """Create a record, and return its id."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create(sobject, fields)

    def update(self, sobject: str, record_id: str, **fields: Any) -> None:
        """Change a record."""
        with self.sandbox.org.transaction() as transaction:
            transaction.update(sobject, record_id, fields)

    async def lines(self, name: str, count: int) -> list[Any]:
        """Return what a subscriber has written, when it has delivered `count` events."""
        path = self.folder / f"{name}.jsonl"
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") == count)
        return [orjson.loads(line) for line in path.read_bytes().splitlines()]

    def lookups(self, result: str) -> float:
        """Return the number of look-ups that were `cached` or `read`."""
        registry = self.app.observers.metrics.registry
        value = registry.get_sample_value("streamer_lookups_total", {"result": result})
        return value or 0.0


@asynccontextmanager
async def opened(tmp_path: Path, **subscribers: dict[str, Any]) -> AsyncIterator[Desk]:
    """Run a daemon whose subscribers write files, and keep a record for an hour."""
    async with Sandbox(SystemClock()) as sandbox:
        whole = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        whole["lookups"] = {"cache_s": 3600}
        whole["subscribers"] = {
            name: {
                "uses": "file",
                "settings": {"path": str(tmp_path / f"{name}.jsonl"), "format": "body"},
                **settings,
            }
            for name, settings in subscribers.items()
        }
        async with running(written(tmp_path, whole)) as app:
            yield Desk(sandbox=sandbox, app=app, folder=tmp_path)


async def test_change_that_any_subscriber_reads_ends_the_use_of_a_related_record(tmp_path: Path) -> None:
    """Two contacts share one look-up of their account; after its change, the next has the new name."""
    contacts = {
        "on": "salesforce.cdc.Contact.created",
        "enrich": {"account": {"sobject": "Account", "id": "data.fields.AccountId", "fields": ["Name"]}},
        "body": {"account": "account.Name"},
    }
    accounts = {"on": "salesforce.cdc.Account.updated", "body": {"id": "subject"}}
    async with opened(tmp_path, contacts=contacts, accounts=accounts) as desk:
        account = desk.create("Account", Name="Acme")
        for number in (1, 2):
            desk.create("Contact", LastName=f"No {number}", AccountId=account)
            await desk.lines("contacts", number)
        assert (desk.lookups("read"), desk.lookups("cached")) == (1, 1)

        desk.update("Account", account, Name="Acme Energy")
        await desk.lines("accounts", 1)
        desk.create("Contact", LastName="No 3", AccountId=account)
        found = await desk.lines("contacts", 3)

    assert [each["account"] for each in found] == ["Acme", "Acme", "Acme Energy"]


async def test_second_event_of_a_record_has_the_record_as_it_is_now(tmp_path: Path) -> None:
    """It says itself that the record has changed."""
    accounts = {
        "on": "salesforce.cdc.Account.*",
        "enrich": {"record": {"fields": ["Name"]}},
        "body": {"name": "record.Name"},
    }
    async with opened(tmp_path, accounts=accounts) as desk:
        account = desk.create("Account", Name="Acme")
        await desk.lines("accounts", 1)
        desk.update("Account", account, Name="Acme Energy")
        found = await desk.lines("accounts", 2)

        assert (desk.lookups("read"), desk.lookups("cached")) == (2, 0)
    assert [each["name"] for each in found] == ["Acme", "Acme Energy"]
