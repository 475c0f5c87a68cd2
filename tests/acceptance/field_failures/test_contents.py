"""Contents of events that stop other clients: unexpected values, equal events, and incomplete changes."""

from typing import Any

import pytest

from streamer.app.plan import plan
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.events import Event, HoleCause, Repair
from streamer.sandbox import parse_schema
from tests.acceptance.field_failures.world import World
from tests.acceptance.sent import sent_by
from tests.configuration import CHANGES, sandbox_configuration, written

_BIG = 2**63 + 1
_PHONE, _EMAIL = "+49 30 5550199", "ada@acme.example"


def invoice(**fields: Any) -> Any:
    """Return the schema of invoices with these fields."""
    return parse_schema({"objects": {"Invoice__c": {"fields": fields}}})


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    """Return the kinds of changes, and the records that they are about."""
    return [(event.type.rpartition(".")[2], event.subject) for event in events]


async def test_schema_change_and_big_numbers_in_mid_stream(world: World) -> None:
    """One channel carries many types of events; one type changes, and a number exceeds 53 bits."""
    org = world.sandbox.org
    org.declare(invoice(Number__c="double"))
    async with world.running():
        record = world.save("Invoice__c", Number__c=1)
        world.save(Name="Before")
        await world.read(2)
        org.declare(invoice(Number__c="double", Amount__c="double", Due__c="date"))
        world.change(record, "Invoice__c", Number__c=_BIG, Amount__c=1e300, Due__c="2025-02-28")
        world.save("Contact", LastName="Of another schema")
        await world.read(4)
        org.declare(invoice(Amount__c="string"))
        world.change(record, "Invoice__c", Amount__c="in words")
        world.save(Name="After")
        await world.read(6)
        letters = await world.letters()

    invoices = [each.data["fields"] for each in world.events if each.subject == record]
    assert letters == []
    assert float(invoices[1]["Number__c"]) == float(_BIG)
    assert (invoices[1]["Amount__c"], invoices[1]["Due__c"]) == (1e300, "2025-02-28")
    assert invoices[2]["Amount__c"] == "in words"
    assert [each.data["entity"] for each in world.events] == [
        "Invoice__c",
        "Account",
        "Invoice__c",
        "Contact",
        "Invoice__c",
        "Account",
    ]


async def test_duplicates_without_an_id(world: World) -> None:
    """An event that Salesforce sends again has its id again, under another replay id and after a restart."""
    async with world.running():
        world.order(1)
        account = world.save(Name="Once")
        await world.read(2)
        world.sandbox.faults.repeat_last(CHANGES)
        await world.read(3)
    async with world.running():
        world.change(account, Name="Twice")
        world.sandbox.faults.repeat_last(CHANGES)
        await world.read(5)

    ids = world.ids(CHANGES)
    positions = [event.replay_id for event in world.events if event.channel == CHANGES]
    sent = list(dict.fromkeys(each.id for each in sent_by(world.sandbox) if each.key == account))
    assert ids == [sent[0], sent[0], sent[1], sent[1]]
    assert len(set(positions)) == len(positions)
    known = {event.id: event.data for event in world.events}
    assert all(known[event.id] == event.data for event in world.events)


async def test_custom_objects(world: World) -> None:
    """Their channel is not named as they are; the wrong name is refused with the right one."""
    world.sandbox.org.declare(invoice(Number__c="string"))
    path = "/data/Invoice__ChangeEvent"
    world.more = {"channels": [{"path": path, "start": "earliest"}]}
    async with world.running():
        record = world.save("Invoice__c", Number__c="2025-1")
        world.change(record, "Invoice__c", Number__c="2025-2")
        with world.sandbox.org.transaction() as transaction:
            transaction.delete("Invoice__c", record)
        await world.read(3)

    assert [event.type for event in world.events] == [
        f"salesforce.cdc.Invoice__c.{kind}" for kind in ("created", "updated", "deleted")
    ]
    assert {event.channel for event in world.events} == {path}
    wrong = sandbox_configuration(
        world.sandbox.url, log={}, channels=[{"path": "/data/Invoice__cChangeEvent"}]
    )
    with pytest.raises(ConfigurationError, match=path):
        plan(load_document([written(world.directory, wrong)], {}), world.clock)


async def test_gap_events_are_ignored(world: World) -> None:
    """They are told, and each is followed by what it did not tell, protected as every event is."""
    world.more = {
        "protect": [
            {"entity": "Contact", "fields": "Phone", "how": "mask"},
            {"entity": "Contact", "fields": "Email", "how": "drop"},
        ]
    }
    faults = world.sandbox.faults
    async with world.running():
        ada, ida = (world.save("Contact", LastName=name, Phone=_PHONE, Email=_EMAIL) for name in ("A", "I"))
        await world.read(2)
        faults.gap_changes("Contact", times=2)
        world.change(ada, "Contact", LastName="Berg", Phone=f"{_PHONE}1")
        with world.sandbox.org.transaction() as transaction:
            transaction.delete("Contact", ida)
        await world.read(6)
        world.change(ada, "Contact", LastName="Berg-Dal")
        await world.read(7)
        records = await world.repaired()

    about = {each: [event for event in world.events if event.subject == each] for each in (ada, ida)}
    assert [kind for kind, _ in told(about[ada])] == ["created", "gap", "updated", "updated"]
    assert [kind for kind, _ in told(about[ida])] == ["created", "gap", "deleted"]
    gap, recovered = about[ada][1:3]
    assert recovered.id == f"{gap.id}:recovered"
    assert recovered.data["recovered"]["reason"] == "GAP_UPDATE"
    assert recovered.data["fields"]["Phone"] == "***"
    assert "Email" not in recovered.data["fields"]
    stored = b"".join(each.read_bytes() for each in world.directory.glob("log.db*"))
    assert _PHONE.encode() not in stored
    assert _EMAIL.encode() not in stored
    assert {(record.cause, record.state) for record in records} == {(HoleCause.GAP_EVENT, Repair.FULL)}
    assert len(records) == 2


async def test_gap_events_are_ignored_while_nothing_can_be_read(world: World) -> None:
    """They wait in the log, over a restart too, and events go on meanwhile."""
    world.sandbox.faults.refuse_call(on=["read", "write"], times=None)
    async with world.running():
        account = world.save(Name="Told")
        world.sandbox.faults.gap_changes("Account")
        world.change(account, Name="Not told")
        world.order(1)
        await world.read(3)
        assert [record.state for record in await world.records()] == [Repair.OPEN]
    world.sandbox.faults.heal()
    async with world.running():
        await world.read(4, turning=2)
        await world.settled()
        assert [record.state for record in await world.repaired()] == [Repair.FULL]

    changes = [event for event in world.events if event.channel == CHANGES]
    assert told(changes) == [(kind, account) for kind in ("created", "gap", "updated")]
    assert changes[-1].data["fields"]["Name"] == "Not told"
