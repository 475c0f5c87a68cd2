"""Declared schemas, applied to an org."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.definitions import DeclarationError, parse_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.definitions.conftest import DECLARED
from tests.unit.sandbox.org.world import EVERYTHING, OrgWorld

ERP, ORDERS = "/data/Erp__chn", "/event/Orders__chn"


def declare(world: OrgWorld, **keys: Any) -> None:
    """Replace the schema."""
    world.org.declare(parse_schema(keys))


def test_change_events_follow_the_rules_of_null(world: OrgWorld) -> None:
    """A creation leaves empty fields out, and an update has null for what it emptied."""
    invoice = world.create("Invoice__c", Number__c="1", Status__c="Sent", Remarks__c="")
    world.update("Invoice__c", invoice, Status__c=None)
    created, updated = world.payloads("/data/Invoice__ChangeEvent")
    assert "Remarks__c" not in created
    assert (created["Number__c"], created["Paid__c"], created["Status__c"]) == ("1", False, "Sent")
    assert {name for name in updated if name.endswith("__c")} == {"Status__c"}
    assert updated["Status__c"] is None
    assert updated["ChangeEventHeader"]["changedFields"] == ["Status__c", "LastModifiedDate"]


def test_only_selected_objects_are_announced(declared: Callable[..., OrgWorld]) -> None:
    """Once the channel ChangeEvents selects any; others have no channel."""
    world = declared(channels={"ChangeEvents": {"Account": []}})
    world.create("Invoice__c", Number__c="1")
    world.create("Account", Name="A")
    assert [header["entityName"] for header in world.headers()] == ["Account"]
    assert world.org.channels.refusal("/data/AccountChangeEvent") is None
    assert world.org.channels.refusal("/data/Invoice__ChangeEvent") is not None


def test_without_a_selection_every_object_is_announced(world: OrgWorld) -> None:
    """As without a schema."""
    world.create("Invoice__c", Number__c="1")
    world.create("Bill__c", Name="B")
    assert [header["entityName"] for header in world.headers()] == ["Invoice__c", "Bill__c"]


def test_a_custom_channel_carries_its_members_with_enriched_fields(declared: Callable[..., OrgWorld]) -> None:
    """Also those that ChangeEvents does not select, which then have a channel of their own."""
    channels = {"ChangeEvents": {"Account": []}, "Erp__chn": {"Invoice__c": ["Number__c", "Status__c"]}}
    world = declared(channels=channels)
    invoice = world.create("Invoice__c", Number__c="1")
    world.create("Account", Name="A")
    world.update("Invoice__c", invoice, Lines__c=3)
    assert [header["entityName"] for header in world.headers()] == ["Account"]
    update = world.payloads(ERP)[-1]
    assert [header["changeType"] for header in world.headers(ERP)] == ["CREATE", "UPDATE"]
    assert (update["Number__c"], update["Lines__c"], "Status__c" in update) == ("1", 3, False)
    assert len(world.messages("/data/Invoice__ChangeEvent")) == 2


def test_the_common_channel_can_be_enriched(declared: Callable[..., OrgWorld]) -> None:
    """As its settings in Salesforce allow."""
    world = declared(channels={"ChangeEvents": {"Invoice__c": ["Number__c"]}})
    invoice = world.create("Invoice__c", Number__c="1")
    world.update("Invoice__c", invoice, Lines__c=3)
    assert world.payloads(EVERYTHING)[-1]["Number__c"] == "1"


def test_a_channel_of_platform_events_carries_its_members(declared: Callable[..., OrgWorld]) -> None:
    """And no others."""
    world = declared(channels={"Orders__chn": {"Order_Placed__e": []}})
    world.org.publish_platform_event("Order_Placed__e", {"Order_No__c": "1"})
    world.org.publish_platform_event("Paid__e", {})
    assert [message["event"]["EventApiName"] for message in world.messages(ORDERS)] == ["Order_Placed__e"]
    assert world.org.channels.refusal(ORDERS) is None
    assert world.org.channels.refusal("/data/Orders__chn") is not None


def test_channels_of_the_settings_stay() -> None:
    """A declared schema comes on top of them."""
    settings = OrgSetup(
        schema=parse_schema({"channels": {"Erp__chn": {"Account": []}}}),
        channels=(OrgChannel(path="/data/Other__chn"),),
        selected=frozenset({"Contact"}),
    )
    world = OrgWorld(settings)
    world.create("Contact", LastName="A")
    world.create("Account", Name="B")
    assert [len(world.messages(path)) for path in ("/data/Other__chn", ERP, EVERYTHING)] == [1, 1, 1]


def test_deleting_a_parent_takes_its_details_along(declared: Callable[..., OrgWorld]) -> None:
    """Where the reference says so; otherwise they stay."""
    fields = {
        "Owner__c": {"type": "reference", "to": "Account", "cascade": True},
        "Other__c": {"type": "reference", "to": "Account", "child_relationship": "Others__r"},
    }
    world = declared(objects={"Detail__c": {"fields": fields}})
    account = world.create("Account", Name="A")
    world.create("Detail__c", Owner__c=account)
    staying = world.create("Detail__c", Other__c=account)
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    assert [row["Id"] for row in world.query("SELECT Id FROM Detail__c").rows()] == [staying]


def test_an_object_that_the_sandbox_does_not_know_has_its_prefix(declared: Callable[..., OrgWorld]) -> None:
    """The ids of its records begin with it."""
    world = declared(
        objects={
            "Entitlement": {"prefix": "550", "fields": {"Name": {"type": "string", "required": True}}},
        }
    )
    assert world.create("Entitlement", Name="Gold").startswith("550")


def test_another_schema_takes_the_place_of_the_one_before(world: OrgWorld) -> None:
    """Records and prefixes stay; what is declared no longer is free again."""
    invoice = world.create("Invoice__c", Number__c="1", Status__c="Sent")
    declare(world, objects={"Invoice__c": {"fields": {"Number__c": {"type": "string", "length": 3}}}})
    assert world.create("Invoice__c", Number__c="2")[:3] == invoice[:3]
    with pytest.raises(Refused, match="No such column 'Status__c'"):
        world.update("Invoice__c", invoice, Status__c="Sent")
    declare(world)
    world.update("Invoice__c", invoice, Number__c="1" * 300, Status__c="Anything")
    world.org.publish_platform_event("Order_Placed__e", {"Any__c": 1})


def test_a_field_that_is_gone_is_in_no_event(world: OrgWorld) -> None:
    """Although the record still holds its value."""
    invoice = world.create("Invoice__c", Number__c="1", Status__c="Sent")
    with world.org.transaction() as transaction:
        transaction.delete("Invoice__c", invoice)
    declare(world, objects={"Invoice__c": {"fields": {"Number__c": "string"}}})
    with world.org.transaction() as transaction:
        transaction.undelete("Invoice__c", invoice)
    payload = world.payloads()[-1]
    assert (payload["Number__c"], "Status__c" in payload) == ("1", False)


def test_a_field_whose_values_repeat_does_not_become_unique(world: OrgWorld) -> None:
    """Salesforce refuses it too; letter case counts where it is to count, and deleted records do not."""
    for key in ("a", "A", None, None):
        world.create("Bill__c", Key__c=key)
    unique = {"type": "string", "unique": True}
    before = world.org.declared
    with pytest.raises(DeclarationError, match=r"objects\.Bill__c\.fields\.Key__c\.unique: several records"):
        declare(world, objects={"Bill__c": {"fields": {"Key__c": unique}}})
    assert world.org.declared is before
    declare(world, objects={"Bill__c": {"fields": {"Key__c": {**unique, "case_sensitive": True}}}})
    declare(world)
    with world.org.transaction() as transaction:
        transaction.delete("Bill__c", str(world.query("SELECT Id FROM Bill__c").rows()[0]["Id"]))
    declare(world, objects={"Bill__c": {"fields": {"Key__c": unique}}})


def test_a_standard_object_that_is_declared_no_longer_has_its_own_rules_again(
    declared: Callable[..., OrgWorld],
) -> None:
    """And keeps the fields that it got."""
    fields = {"Name": {"length": 3}, "Key__c": {"type": "string", "unique": True}}
    world = declared(objects={"Account": {"fields": fields}})
    world.create("Account", Name="Abc", Key__c="1")
    declare(world)
    world.create("Account", Name="Acme", Key__c="1", New__c=1)
    with pytest.raises(Refused, match="Required fields are missing"):
        world.create("Account", Key__c="2")


def test_a_standard_field_that_is_repeated_stays_required(declared: Callable[..., OrgWorld]) -> None:
    """Unless the schema says that it is not."""
    with pytest.raises(Refused, match="Required fields are missing"):
        declared(objects={"Account": {"fields": {"Name": {"length": 3}}}}).create("Account")
    declared(objects={"Account": {"fields": {"Name": {"required": False}}}}).create("Account")


def test_a_schema_does_not_change_what_others_see(world: OrgWorld) -> None:
    """Standard types are shared by all orgs of a process."""
    declare(world, objects={"Account": {"fields": {"Key__c": "string"}}})
    other = OrgWorld()
    other.create("Account", Name="A", Other__c="x")
    assert "Key__c" not in other.org.schema.entity("Account").fields
    assert DECLARED["objects"].keys() == {"Invoice__c"}
