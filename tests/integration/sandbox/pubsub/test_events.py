"""Events over the Pub/Sub API: the same data in Avro as over CometD in JSON."""

import struct
from typing import Any

import orjson
import pytest

from streamer.sandbox import OrgSetup, SandboxSettings, User, parse_schema
from streamer.sandbox.org.changes import ChangeType
from streamer.sandbox.org.channels import OrgChannel
from tests.integration.sandbox.pubsub.client import Subscription
from tests.integration.sandbox.pubsub.conftest import Serve, World, metadata

ALL = "/data/ChangeEvents"
ORDERS = "/event/Order_Placed__e"
T0_MS = 1_735_689_600_000
SCHEMA = {
    "objects": {
        "Invoice__c": {"fields": {"Due__c": "date", "Paid__c": "boolean", "Amount__c": "currency"}},
    },
    "events": {
        "Order_Placed__e": {
            "fields": {
                "Order_No__c": {"type": "string", "required": True},
                "Amount__c": "double",
                "At__c": "datetime",
                "Day__c": "date",
                "Express__c": "boolean",
            }
        }
    },
}


async def payloads(world: World, path: str, count: int) -> list[dict[str, Any]]:
    """Return the decoded payloads of the first events of a topic."""
    subscription = await world.client.subscribe(path)
    return [await world.client.decoded(event) for event in await subscription.events(count)]


async def test_a_created_record_has_every_field(world: World) -> None:
    """Those that are empty are null, times are numbers, and compound fields are records."""
    account = world.create(
        "Account", Name="Acme", BillingCity="Oslo", NumberOfEmployees=5, AnnualRevenue=1.5, Any__c=True
    )
    (payload,) = await payloads(world, ALL, 1)
    header = payload.pop("ChangeEventHeader")
    assert (header["entityName"], header["recordIds"], header["changeType"]) == (
        "Account",
        [account],
        "CREATE",
    )
    assert (header["commitTimestamp"], header["sequenceNumber"]) == (T0_MS, 1)
    assert [header[name] for name in ("changedFields", "nulledFields", "diffFields")] == [[], [], []]
    filled = {name: value for name, value in payload.items() if value is not None}
    city = filled.pop("BillingAddress")
    user = world.sandbox.org.settings.user_id
    assert filled == {
        "Name": "Acme",
        "NumberOfEmployees": 5,
        "AnnualRevenue": 1.5,
        "Any__c": True,
        "OwnerId": user,
        "CreatedDate": T0_MS,
        "CreatedById": user,
        "LastModifiedDate": T0_MS,
        "LastModifiedById": user,
    }
    assert {name: value for name, value in city.items() if value is not None} == {"City": "Oslo"}
    assert set(payload) > {"Phone", "ShippingAddress", "Description"}


async def test_an_update_tells_what_changed_and_what_was_emptied(world: World) -> None:
    """Components of compound fields included, also where nothing else was emptied."""
    account = world.create("Account", Name="A", Phone="1", BillingCity="Oslo", BillingState="O", Fax="2")
    await world.clock.turn(60)
    world.update("Account", account, Phone=None, Industry="Energy", BillingState=None, BillingCity="Bergen")
    world.update("Account", account, BillingCity=None)
    world.create("Contact", LastName="Berg")
    _, first, second, contact = await payloads(world, ALL, 4)
    header = first["ChangeEventHeader"]
    assert set(header["changedFields"]) == {
        "Phone",
        "Industry",
        "LastModifiedDate",
        "BillingAddress.State",
        "BillingAddress.City",
    }
    assert set(header["nulledFields"]) == {"Phone", "BillingAddress.State"}
    assert (first["Phone"], first["Fax"], first["Industry"]) == (None, None, "Energy")
    assert (first["BillingAddress"]["City"], first["LastModifiedDate"]) == ("Bergen", T0_MS + 60_000)
    assert second["ChangeEventHeader"]["nulledFields"] == ["BillingAddress.City"]
    assert contact["Name"] == {"Salutation": None, "FirstName": None, "LastName": "Berg"}


async def test_the_second_address_of_a_type_has_bitmaps_too(world: World) -> None:
    """Its record is defined by the first one."""
    account = world.create("Account", Name="A")
    world.update("Account", account, ShippingCity="Oslo", BillingStreet="Way 1")
    _, payload = await payloads(world, ALL, 2)
    assert set(payload["ChangeEventHeader"]["changedFields"]) == {
        "LastModifiedDate",
        "ShippingAddress.City",
        "BillingAddress.Street",
    }
    assert payload["ShippingAddress"]["City"] == "Oslo"


async def test_a_long_text_comes_as_its_diff(world: World) -> None:
    """Bare, and its field is named."""
    lines = [f"line {number} of a long text" for number in range(100)]
    account = world.create("Account", Name="A", Description="\n".join(lines))
    world.update("Account", account, Description="\n".join(["new", *lines[1:]]))
    _, payload = await payloads(world, ALL, 2)
    assert payload["Description"].startswith("--- \n+++ ")
    assert payload["ChangeEventHeader"]["diffFields"] == ["Description"]
    assert set(payload["ChangeEventHeader"]["changedFields"]) == {"Description", "LastModifiedDate"}


async def test_a_deletion_a_gap_and_an_overflow_have_a_header_alone(world: World) -> None:
    """All other fields are null; the symbols of all types of changes are in the schema."""
    account = world.create("Account", Name="A")
    org = world.sandbox.org
    with org.transaction() as transaction:
        transaction.delete("Account", account)
    with org.transaction() as transaction:
        transaction.undelete("Account", account)
    for kind in ("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"):
        org.publish_gap("Account", [account], ChangeType(kind))
    org.publish_overflow("Account")
    found = (await payloads(world, ALL, 8))[1:]
    assert [payload["ChangeEventHeader"]["changeType"] for payload in found] == [
        "DELETE",
        "UNDELETE",
        "GAP_CREATE",
        "GAP_UPDATE",
        "GAP_DELETE",
        "GAP_UNDELETE",
        "GAP_OVERFLOW",
    ]
    bodies = [
        {name for name, value in payload.items() if value is not None} - {"ChangeEventHeader"}
        for payload in found
    ]
    assert [bool(body) for body in bodies] == [False, True, False, False, False, False, False]


async def test_merged_changes_name_all_their_records(world: World) -> None:
    """In one event."""
    with world.sandbox.org.transaction() as transaction:
        ids = [transaction.create("Account", {"Name": "Same"}) for _ in range(300)]
    (payload,) = await payloads(world, ALL, 1)
    assert payload["ChangeEventHeader"]["recordIds"] == ids


async def test_enriched_fields_come_with_split_events_of_one_replay_id(serve: Serve) -> None:
    """One event for each record; an enriched field did not change."""
    channel = OrgChannel(path="/data/Erp__chn", enriched_fields={"Account": ("ERP_Id__c", "Phone")})
    world: World = await serve(SandboxSettings(org=OrgSetup(channels=(channel,))))
    ids = [world.create("Account", Name=str(number), ERP_Id__c=f"E{number}") for number in range(2)]
    with world.sandbox.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Industry": "Energy"})
    subscription = await world.client.subscribe("/data/Erp__chn")
    events = (await subscription.events(4))[2:]
    found = [await world.client.decoded(event) for event in events]
    assert [payload["ChangeEventHeader"]["recordIds"] for payload in found] == [[each] for each in ids]
    assert [(payload["ERP_Id__c"], payload["Phone"], payload["Industry"]) for payload in found] == [
        ("E0", None, "Energy"),
        ("E1", None, "Energy"),
    ]
    assert all("ERP_Id__c" not in each["ChangeEventHeader"]["changedFields"] for each in found)
    assert events[0].replay_id == events[1].replay_id
    assert events[0].event.id != events[1].event.id


async def test_a_new_field_makes_a_new_schema_in_mid_stream(world: World) -> None:
    """Each event carries its own schema id, and earlier ones stay readable."""
    world.create("Account", Name="A")
    subscription = await world.client.subscribe(ALL)
    (before,) = await subscription.events(1)
    world.create("Account", Name="B", New__c=7)
    (after,) = await subscription.events(1)
    assert before.event.schema_id != after.event.schema_id
    assert "New__c" not in await world.client.decoded(before)
    assert (await world.client.decoded(after))["New__c"] == 7.0


async def test_a_declared_platform_event_keeps_its_types(serve: Serve) -> None:
    """Required fields are plain; its id is the EventUuid that CometD tells."""
    world: World = await serve(SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA))))
    fields = {"Order_No__c": "A-17", "At__c": "2025-01-02T03:04:05.678Z", "Day__c": "2025-01-02"}
    event_uuid = world.sandbox.org.publish_platform_event("Order_Placed__e", {**fields, "Express__c": True})
    subscription = await world.client.subscribe(ORDERS)
    (event,) = await subscription.events(1)
    assert event.event.id == event_uuid
    assert await world.client.decoded(event) == {
        "CreatedDate": T0_MS,
        "CreatedById": world.sandbox.org.settings.user_id,
        "Order_No__c": "A-17",
        "Amount__c": None,
        "At__c": 1_735_787_045_678,
        "Day__c": 1_735_776_000_000,
        "Express__c": True,
    }


async def test_a_declared_object_keeps_its_types(serve: Serve) -> None:
    """A date is midnight in UTC."""
    world: World = await serve(SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA))))
    world.create("Invoice__c", Due__c="2025-01-02", Paid__c=False, Amount__c=3)
    (payload,) = await payloads(world, "/data/Invoice__ChangeEvent", 1)
    assert (payload["Due__c"], payload["Paid__c"], payload["Amount__c"]) == (1_735_776_000_000, False, 3.0)


async def test_an_event_that_nothing_declares_has_the_fields_of_all_its_messages(world: World) -> None:
    """With the types of their values; a value of another type makes a new schema."""
    org = world.sandbox.org
    for fields in ({"A__c": "1"}, {"B__c": 2, "C__c": True}, {"A__c": None}, {"A__c": 3}):
        org.publish_platform_event("Paid__e", fields)
    subscription = await world.client.subscribe("/event/Paid__e")
    events = await subscription.events(4)
    found = [await world.client.decoded(event) for event in events]
    own = [{name: each.get(name) for name in ("A__c", "B__c", "C__c")} for each in found]
    assert own == [
        {"A__c": "1", "B__c": None, "C__c": None},
        {"A__c": None, "B__c": 2.0, "C__c": True},
        {"A__c": None, "B__c": None, "C__c": None},
        {"A__c": 3.0, "B__c": None, "C__c": None},
    ]
    ids = [event.event.schema_id for event in events]
    assert (len(set(ids)), set(found[-1])) == (
        3,
        {"CreatedDate", "CreatedById", "A__c", "B__c", "C__c"},
    )
    assert (await world.client.topic("/event/Paid__e")).schema_id == ids[-1]


async def test_a_repeated_event_keeps_its_id(world: World) -> None:
    """Under a new replay id, as when a publisher sends it twice."""
    world.sandbox.org.publish_platform_event("Paid__e", {"A__c": "1"})
    world.create("Account", Name="A")
    for path in ("/event/Paid__e", ALL):
        world.sandbox.faults.repeat_last(path)
        first, second = await (await world.client.subscribe(path)).events(2)
        assert first.event == second.event
        assert first.replay_id < second.replay_id
        assert len(first.event.id) == 36


async def test_a_user_gets_what_the_permissions_allow(serve: Serve) -> None:
    """Hidden fields are null and unnamed, and the events of other types do not come."""
    reader = User(
        username="reader@acme.example",
        objects={"Account": frozenset({"view_all"})},  # type: ignore[arg-type] # the enum is of texts
        hidden_fields=frozenset({"Account.Phone"}),
    )
    world: World = await serve(SandboxSettings(users=(reader,)))
    world.client.metadata = metadata(world.sandbox, world.sandbox.users.id_of("reader@acme.example"))
    account = world.create("Account", Name="A", Phone="1")
    for _ in range(2_500):
        world.create("Contact", LastName="Berg")
    world.update("Account", account, Phone=None, Industry="Energy")
    first, second = await payloads(world, ALL, 2)
    assert (first["Name"], first["Phone"]) == ("A", None)
    assert second["ChangeEventHeader"]["changedFields"] == ["Industry", "LastModifiedDate"]
    assert second["ChangeEventHeader"]["nulledFields"] == []


@pytest.mark.parametrize("kind", ["utf8", "nonsense", "json"])
@pytest.mark.parametrize("path", [ALL, "/data/AccountChangeEvent", ORDERS])
async def test_an_unreadable_message_is_an_event_that_cannot_be_decoded(
    world: World, path: str, kind: str
) -> None:
    """The events around it are whole."""
    for number in range(2):
        world.create("Account", Name=str(number))
        world.sandbox.org.publish_platform_event("Order_Placed__e", {"A__c": str(number)})
        if not number:
            world.sandbox.faults.arm("unreadable", {"path": path, "kind": kind})
    subscription: Subscription = await world.client.subscribe(path)
    first, broken, last = await subscription.events(3)
    assert (await world.client.decoded(first)) != (await world.client.decoded(last))
    if kind == "nonsense":
        broken.event.schema_id = first.event.schema_id
    with pytest.raises((EOFError, StopIteration, IndexError, ValueError, TypeError, struct.error)):
        await world.client.decoded(broken)


async def test_a_value_that_its_type_cannot_hold_makes_the_event_unreadable(world: World) -> None:
    """It is not cut to fit, which nobody would notice."""
    world.create("Account", Name="A", NumberOfEmployees=5.5)
    (event,) = await (await world.client.subscribe(ALL)).events(1)
    assert event.event.payload == b"\xff" * 32


async def test_both_transports_tell_the_same(world: World) -> None:
    """The messages of the bus are what CometD sends."""
    account = world.create("Account", Name="Åse", Phone="1", AnnualRevenue=12)
    world.update("Account", account, Phone=None, Name="Bø")
    messages = [orjson.loads(each.data) for each in world.sandbox.bus.after(ALL, 0)]
    for message, payload in zip(messages, await payloads(world, ALL, 2), strict=True):
        told, header = message["payload"], payload["ChangeEventHeader"]
        assert set(told["ChangeEventHeader"]["changedFields"]) == set(header["changedFields"])
        for name in ("Name", "Phone", "AnnualRevenue", "OwnerId"):
            assert told.get(name) == payload[name]
