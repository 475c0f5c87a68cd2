"""Platform events have the shape of CometD."""

from typing import Any

import pytest

from streamer.events import Event
from streamer.normalise import normaliser_for
from tests.messages import ORDERS
from tests.unit.salesforce.pubsub.avro.samples import (
    ADDRESS,
    Avro,
    decoded,
    event_schema,
    optional,
    parsed,
    written,
)

STAMPS = {"CreatedDate": 1_735_689_600_517, "CreatedById": "005AB00000USER1YAA"}
READ_STAMPS = {"CreatedDate": "2025-01-01T00:00:00.517Z", "CreatedById": "005AB00000USER1YAA"}


def read(field: Avro, value: Any) -> Any:
    """Return the value of a field as it is read."""
    payload = decoded(event_schema(field), **STAMPS, **{field["name"]: value})
    assert {name: payload.pop(name) for name in READ_STAMPS} == READ_STAMPS
    assert list(payload) == [field["name"]]
    return payload[field["name"]]


def test_unset_fields_are_null() -> None:
    """A platform event has all of its fields, and no changed ones."""
    schema = event_schema(
        optional("A__c"), optional("B__c"), optional("Amount__c", "double"), optional("D__c")
    )

    payload = decoded(schema, **STAMPS, B__c="", Amount__c=12.5)

    assert payload == {**READ_STAMPS, "A__c": None, "B__c": "", "Amount__c": 12.5, "D__c": None}


def test_event_is_the_one_that_cometd_gives() -> None:
    """The normaliser finds every part of it at its place."""
    schema = parsed(event_schema(optional("Order_No__c")))
    payload = schema.decode(written(event_schema(optional("Order_No__c")), {**STAMPS, "Order_No__c": "A-17"}))
    about = {"EventUuid": "6f0c1d2e-0000-4000-8000-000000000017", "EventApiName": schema.name, "replayId": 7}

    [event] = normaliser_for(ORDERS)([{"data": {"payload": payload, "event": about}}])

    assert isinstance(event, Event)
    assert (event.type, event.time) == ("salesforce.event.Order_Placed__e", "2025-01-01T00:00:00.517Z")
    assert event.data["fields"] == {**READ_STAMPS, "Order_No__c": "A-17"}


def test_schema_has_the_name_of_the_event() -> None:
    """Channels of several kinds of events tell them apart by it; it does not contain the namespace."""
    assert parsed(event_schema()).name == "Order_Placed__e"
    assert parsed({**event_schema(), "name": "com.acme.Order__e"}).name == "Order__e"
    assert parsed(event_schema(), "abc").id == "abc"
    assert not parsed(event_schema()).is_change


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "Grüße 😀 \x00"),
        ("string", "x" * 100_000),
        ("boolean", True),
        ("boolean", False),
        ("int", -(2**31)),
        ("long", 2**63 - 1),
        ("long", -(2**63)),
        ("long", 0),
        ("double", 0.1),
        ("double", -1e308),
        ("float", 0.5),
        ({"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}, "GREEN"),
        ({"type": "array", "items": "string"}, ["a", ""]),
        ({"type": "array", "items": ["null", "long"]}, [None, 1]),
        ({"type": "array", "items": {"type": "array", "items": "boolean"}}, [[], [True]]),
        ({"type": "map", "values": "double"}, {"": 1.5, "b": 2.5}),
        ({"type": "map", "values": ["null", {"type": "array", "items": "int"}]}, {"a": None, "b": [1, -1]}),
        ({"type": "string", "avro.java.string": "String"}, "text"),
        ({"type": "long", "logicalType": "unheard-of"}, 7),
        ({"type": "int", "logicalType": "time-millis"}, 7),
    ],
)
def test_value_of_any_type_is_as_it_is(kind: Any, value: Any) -> None:
    """In a field that must have one, and in one that can be null."""
    assert read({"name": "V__c", "type": kind}, value) == value
    assert read(optional("V__c", kind), value) == value
    assert read(optional("V__c", kind), None) is None


def test_bytes_are_base64() -> None:
    """JSON has none."""
    fixed = {"type": "fixed", "name": "Two", "size": 2}

    assert read({"name": "V__c", "type": "bytes"}, b"\xff\x00") == "/wA="
    assert read(optional("V__c", fixed), b"\xff\x00") == "/wA="


def test_record_within_an_event_keeps_its_nulls() -> None:
    """It is as whole as the event."""
    parts = {part["name"]: None for part in ADDRESS["fields"]}

    assert read(optional("Place__c", ADDRESS), {"City": "Oslo"}) == {**parts, "City": "Oslo"}
    assert read({"name": "Places__c", "type": {"type": "array", "items": ADDRESS}}, [{}]) == [parts]


def test_type_is_defined_once_and_then_named() -> None:
    """By its full name, or by its name alone within the namespace."""
    schema = event_schema(
        optional("A__c", ADDRESS),
        optional("B__c", "Address"),
        optional("C__c", "com.sforce.eventbus.Address"),
    )
    parts = {part["name"]: None for part in ADDRESS["fields"]}
    oslo = {**parts, "City": "Oslo"}

    payload = decoded(schema, **STAMPS, A__c=oslo, B__c=oslo, C__c=oslo)

    assert [payload[name] for name in ("A__c", "B__c", "C__c")] == [oslo] * 3


def test_schemas_of_one_name_do_not_disturb_each_other() -> None:
    """A new field makes a new schema with the old names."""
    colour = {"type": "record", "name": "Address", "fields": [optional("Colour")]}
    before = event_schema(optional("Place__c", ADDRESS))
    after = event_schema(optional("Place__c", colour), optional("New__c"))
    old, new = parsed(before), parsed(after)

    read = [
        schema.decode(written(avro, {**STAMPS, "Place__c": place}))["Place__c"]
        for schema, avro, place in ((old, before, {"City": "Oslo"}), (new, after, {"Colour": "red"})) * 2
    ]

    assert [place.get("City") for place in read] == ["Oslo", None, "Oslo", None]
    assert [place.get("Colour") for place in read] == [None, "red", None, "red"]


def test_blocks_of_a_list_can_state_their_size() -> None:
    """A negative count is followed by the size in bytes; a list can come in several blocks."""
    schema = event_schema({"name": "L__c", "type": {"type": "array", "items": "long"}})
    data = written(schema, {**STAMPS, "L__c": []})[:-1]

    assert parsed(schema).decode(data + b"\x03\x04\x02\x04\x02\x06\x00")["L__c"] == [1, 2, 3]
