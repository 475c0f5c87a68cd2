"""Channels of the org and the messages on them."""

import pytest

from streamer.sandbox.org.changes import OVERFLOW_ID, ChangeType
from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.org import OrgSetup
from tests.unit.sandbox.org.world import OrgWorld

ERP = "/data/Erp__chn"
ENRICHED = OrgChannel(path=ERP, members=frozenset({"Account"}), enriched_fields={"Account": ("Name", "Fax")})


@pytest.mark.parametrize(
    ("type_name", "path"),
    [("Account", "/data/AccountChangeEvent"), ("Invoice__c", "/data/Invoice__ChangeEvent")],
)
def test_a_change_is_on_its_own_and_the_common_channel(type_name: str, path: str) -> None:
    """Both channels carry the same message under the same replay id."""
    world = OrgWorld()
    world.create(type_name, Name="A")
    assert world.messages(path) == world.messages("/data/ChangeEvents") != []


def test_types_that_are_not_selected_leave_holes_in_the_sequence() -> None:
    """Their changes count in the transaction and are published nowhere."""
    world = OrgWorld(OrgSetup(selected=frozenset({"Contact"})))
    with world.org.transaction() as transaction:
        transaction.create("Account", {"Name": "A"})
        transaction.create("Contact", {"LastName": "B"})
    assert [header["sequenceNumber"] for header in world.headers()] == [2]
    assert world.messages("/data/AccountChangeEvent") == []


def test_org_that_selects_nothing_announces_nothing() -> None:
    """As an org does, before its administrator selects entities."""
    world = OrgWorld(OrgSetup(selected=frozenset()))
    world.create("Account", Name="A")
    world.create("Invoice__c", Name="B")

    assert world.org.channels.selected == frozenset()
    assert world.messages() == world.messages("/data/AccountChangeEvent") == []
    assert world.org.channels.refusal("/data/AccountChangeEvent") is not None


def test_usual_selection_names_what_it_announces(world: OrgWorld) -> None:
    """A custom object is among them from its first use on, a subscription included."""
    selected = world.org.channels.selected
    assert {"Account", "Contact", "Lead", "Opportunity", "Case", "Order"} <= selected
    assert not selected & {"Organization", "PushTopic", "StreamingChannel", "Invoice__c"}
    world.create("Invoice__c", Name="A")
    assert world.org.channels.refusal("/data/Shipment__ChangeEvent") is None
    assert world.org.channels.selected - selected == {"Invoice__c", "Shipment__c"}


def test_an_enriched_channel_splits_a_merged_event() -> None:
    """One event per record, under one replay id, with the unchanged enriched fields."""
    world = OrgWorld(OrgSetup(channels=(ENRICHED,)))
    ids = [world.create("Account", Name="A"), world.create("Account", Name="B")]
    with world.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Phone": "1"})
    split, (merged,) = world.messages(ERP)[-2:], world.messages()[-1:]
    assert [message["payload"]["ChangeEventHeader"]["recordIds"] for message in split] == [
        [each] for each in ids
    ]
    assert [message["payload"]["Name"] for message in split] == ["A", "B"]
    assert {message["event"]["replayId"] for message in split} == {merged["event"]["replayId"]}
    assert merged["payload"]["ChangeEventHeader"]["recordIds"] == ids
    assert "Name" not in merged["payload"]


def test_what_exceeds_a_transaction_is_one_overflow_per_type() -> None:
    """Each created record counts one and each updated field one."""
    world = OrgWorld(OrgSetup(transaction_limit=3))
    with world.org.transaction() as transaction:
        for name in "ABCDE":
            transaction.create("Account", {"Name": name})
        transaction.create("Contact", {"LastName": "F"})
    headers = world.headers()
    assert [header["changeType"] for header in headers] == ["CREATE"] * 3 + ["GAP_OVERFLOW"] * 2
    assert [header["recordIds"] for header in headers[3:]] == [[OVERFLOW_ID]] * 2
    assert [header["entityName"] for header in headers[3:]] == ["Account", "Contact"]


@pytest.mark.parametrize(("limit", "kinds"), [(4, ["UPDATE"]), (3, ["UPDATE", "GAP_OVERFLOW"])])
def test_each_record_of_a_merged_change_counts_its_fields(limit: int, kinds: list[str]) -> None:
    """Two records in one event, of two fields each, are four changes."""
    world = OrgWorld(OrgSetup(transaction_limit=limit))
    ids = [world.create("Account", Name=name) for name in "AB"]
    with world.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Phone": "1"})
    headers = world.headers()[2:]
    assert [header["changeType"] for header in headers] == kinds
    assert headers[0]["recordIds"] == (ids if limit == 4 else ids[:1])


def test_a_gap_has_a_header_alone(world: OrgWorld) -> None:
    """Gap events can be announced on demand."""
    account = world.create("Account", Name="A")
    world.org.publish_gap("Account", [account], ChangeType.GAP_DELETE)
    payload = world.payloads()[-1]
    assert payload.pop("ChangeEventHeader")["changeType"] == "GAP_DELETE"
    assert payload == {}


def test_a_platform_event_carries_its_uuid_and_name(world: OrgWorld) -> None:
    """Publishing returns the id of the event."""
    event_uuid = world.org.publish_platform_event("Order_Placed__e", {"Order_No__c": "A-17", "Note__c": ""})
    (message,) = world.messages("/event/Order_Placed__e")
    assert message["event"]["EventUuid"] == event_uuid
    assert message["event"]["EventApiName"] == "Order_Placed__e"
    assert message["payload"] == {
        "CreatedDate": "2025-01-01T00:00:00.000Z",
        "CreatedById": world.org.settings.user_id,
        "Order_No__c": "A-17",
        "Note__c": "",
    }


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/data/ChangeEvents", None),
        ("/data/AccountChangeEvent", None),
        ("/data/Invoice__ChangeEvent", None),
        ("/event/Order_Placed__e", None),
        ("/event/LoginEventStream", None),
        (
            "/data/NopeChangeEvent",
            "400::The channel you requested to subscribe to doesn't exist {/data/NopeChangeEvent}",
        ),
        (
            "/data/accountChangeEvent",
            "400::The channel you requested to subscribe to doesn't exist {/data/accountChangeEvent}",
        ),
        ("/event/Nope", "400::The channel you requested to subscribe to doesn't exist {/event/Nope}"),
        ("data/ChangeEvents", "400::Channel subscriptions must start with a leading '/'"),
        ("", "400::Channel name not specified"),
    ],
)
def test_a_channel_that_does_not_exist_is_refused(world: OrgWorld, path: str, refusal: str | None) -> None:
    """Names are case-sensitive, and the refusal holds the name."""
    assert world.org.channels.refusal(path) == refusal


def test_a_closed_org_knows_only_what_was_declared() -> None:
    """Custom types and events come from the settings alone."""
    world = OrgWorld(OrgSetup(closed=True, objects=("Invoice__c", "Order_Placed__e")))
    refused = [
        path
        for path in (
            "/data/Invoice__ChangeEvent",
            "/event/Order_Placed__e",
            "/data/Bill__ChangeEvent",
            "/event/X__e",
        )
        if world.org.channels.refusal(path)
    ]
    assert refused == ["/data/Bill__ChangeEvent", "/event/X__e"]
