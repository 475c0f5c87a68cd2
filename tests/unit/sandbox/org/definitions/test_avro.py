"""Avro schemas of events."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamer.sandbox.org.definitions.avro import (
    change_event_schema,
    event_schema,
    expanded,
    schema_id,
)
from streamer.sandbox.org.schema import Entity, Field, PlatformEvent
from tests.unit.sandbox.org.definitions.conftest import ORDER
from tests.unit.sandbox.org.world import OrgWorld


def event(**fields: Field) -> PlatformEvent:
    """Return a platform event."""
    return PlatformEvent(name="Paid__e", fields=fields)


def by_name(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the types of the fields by their names."""
    return {field["name"]: field["type"] for field in schema["fields"]}


def test_a_platform_event_is_a_record(world: OrgWorld) -> None:
    """Required fields are plain, all others can be null; times are numbers."""
    declared = world.org.schema.event("Order_Placed__e")
    assert declared is not None
    schema = event_schema(declared)
    assert (schema["name"], schema["namespace"], schema["type"]) == (
        "Order_Placed__e",
        "com.sforce.eventbus",
        "record",
    )
    assert by_name(schema) == {
        "CreatedDate": "long",
        "CreatedById": "string",
        "Order_No__c": "string",
        "Amount__c": ["null", "double"],
        "At__c": ["null", "long"],
        "Express__c": ["null", "boolean"],
        "Note__c": ["null", "string"],
    }


def records(schema: Any) -> Iterator[str]:
    """Return the names of the records that a schema defines."""
    if isinstance(schema, list):
        for each in schema:
            yield from records(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "record":
            yield schema["name"]
        for each in schema.values():
            yield from records(each)


@pytest.mark.parametrize("name", ["Account", "Contact", "Lead", "Invoice__c"])
def test_a_record_is_defined_once(world: OrgWorld, name: str) -> None:
    """Avro libraries refuse a second definition; a second address refers to the first one's."""
    schema = change_event_schema(world.org.schema.entity(name))
    assert len(list(records(schema))) == len(set(records(schema)))
    if name == "Account":
        fields = by_name(schema)
        assert (fields["BillingAddress"][1]["name"], fields["ShippingAddress"]) == (
            "Address",
            ["null", "Address"],
        )


def test_an_account_has_the_fields_in_salesforces_order(world: OrgWorld) -> None:
    """Bitmaps of changed fields depend on it (Pub/Sub samples)."""
    names = list(by_name(change_event_schema(world.org.schema.entity("Account"))))
    assert names[:7] == [
        "ChangeEventHeader",
        "Name",
        "Type",
        "ParentId",
        "BillingAddress",
        "ShippingAddress",
        "Phone",
    ]
    assert by_name(change_event_schema(world.org.schema.entity("Account")))["Name"] == ["null", "string"]
    assert names.index("LastModifiedDate") > names.index("OwnerId")
    assert not {"Id", "IsDeleted", "SystemModstamp", "BillingCity"} & set(names)


def test_the_expanded_schema_is_that_of_the_message(world: OrgWorld) -> None:
    """The payload lies inside the data, and times are texts."""
    declared = world.org.schema.event("Order_Placed__e")
    assert declared is not None
    schema = expanded(event_schema(declared))
    assert (schema["type"], [field["name"] for field in schema["fields"]]) == (
        "expanded-record",
        ["data", "channel"],
    )
    data = by_name(schema["fields"][0]["type"])
    assert list(data) == ["schema", "payload", "event"]
    payload = by_name(data["payload"])
    assert (payload["CreatedDate"], payload["At__c"], payload["Amount__c"]) == (
        "string",
        ["null", "string"],
        ["null", "double"],
    )
    assert len(payload) == 2 + len(ORDER)


def changed(entity: Entity) -> list[Entity]:
    """Return the type with one field more, and with one of another type."""
    return [
        entity.with_fields(Field(name="New__c")),
        entity.with_fields(Field(name="Phone", type="double")),
    ]


def test_a_definition_has_one_id_and_a_changed_one_another(world: OrgWorld) -> None:
    """Names and types count, and labels and lengths do not, because readers of the bytes need neither."""
    account = world.org.schema.entity("Account")
    ids = {schema_id(change_event_schema(each)) for each in (account, *changed(account))}
    same = account.with_fields(Field(name="Phone", type="phone", label="Telephone", length=9, declared=True))
    assert len(ids) == 3
    assert schema_id(change_event_schema(same)) == schema_id(change_event_schema(account))
    assert schema_id(event_schema(event(A__c=Field(name="A__c")))) != schema_id(
        event_schema(event(A__c=Field(name="A__c", required=True)))
    )


def test_an_id_looks_like_salesforces(declared: Callable[..., OrgWorld]) -> None:
    """It is the same in every sandbox with the same schema."""
    first, second = (
        schema_id(change_event_schema(world.org.schema.entity("Invoice__c")))
        for world in (declared(), declared())
    )
    assert first == second
    assert len(first) == 22
