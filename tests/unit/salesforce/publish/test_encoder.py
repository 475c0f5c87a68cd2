"""JSON values become the Avro values of their fields, whole, or are refused with the field and the remedy."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest

from streamer.salesforce.publish.avro_encoder import DatumEncoder, FieldRefused
from streamer.salesforce.pubsub.avro import EventSchema, UnusableSchema

TEXT = ["null", "string"]
STAMPS = {"CreatedDate": 1_735_689_600_123, "CreatedById": "005AB00000USER1YAA"}
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "No", "type": "int"}, {"name": "Text", "type": TEXT}],
}
FIELDS: list[dict[str, Any]] = [
    {"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"},
    {"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"},
    {"name": "Text__c", "type": TEXT, "doc": "Data:Text:00N000000000001"},
    {"name": "Needed__c", "type": "string"},
    {"name": "Number__c", "type": ["null", "double"], "doc": "Data:Double:00N000000000002"},
    {"name": "Count__c", "type": ["null", "int"]},
    {"name": "Long__c", "type": ["null", "long"]},
    {"name": "Flag__c", "type": ["null", "boolean"]},
    {"name": "Day__c", "type": ["null", "long"], "doc": "Data:DateOnly:00N000000000003"},
    {"name": "At__c", "type": ["null", "long"], "doc": "Data:DateTime:00N000000000004"},
    {
        "name": "Price__c",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}],
    },
    {"name": "Days__c", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "Micros__c", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "Kind__c", "type": ["null", {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}]},
    {"name": "Line__c", "type": ["null", LINE]},
    {"name": "Lines__c", "type": ["null", {"type": "array", "items": "Line"}]},
    {"name": "Map__c", "type": ["null", {"type": "map", "values": "double"}]},
    {"name": "Any__c", "type": ["null", "double", "string"]},
    {"name": "Raw__c", "type": ["null", "bytes"]},
    {"name": "Four__c", "type": ["null", {"type": "fixed", "name": "Four", "size": 4}]},
]
SCHEMA = json.dumps(
    {"type": "record", "name": "Order__e", "namespace": "com.sforce.eventbus", "fields": FIELDS}
)
ENCODER = DatumEncoder("id", SCHEMA)


def published(**fields: Any) -> dict[str, Any]:
    """Return the fields that a subscriber reads of an event with `fields`, those without a value left out."""
    payload = ENCODER.encode({**STAMPS, "Needed__c": "x", **fields})
    read = EventSchema.parse("id", SCHEMA).decode(payload)
    return {name: value for name, value in read.items() if value is not None and name not in STAMPS}


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [
        ("Text__c", "ü 😀", "ü 😀"),
        ("Text__c", "", ""),
        ("Number__c", 12, 12.0),
        ("Number__c", 0.1, 0.1),
        ("Number__c", Decimal("12.50"), 12.5),
        ("Number__c", "12.5", 12.5),
        ("Number__c", 2**53, float(2**53)),
        ("Count__c", Decimal("7.0"), 7),
        ("Count__c", -(2**31), -(2**31)),
        ("Long__c", 2**63 - 1, 2**63 - 1),
        ("Flag__c", False, False),
        ("Day__c", "2025-01-02", "2025-01-02"),
        ("Day__c", 1_735_776_000_000, "2025-01-02"),
        ("At__c", "2025-01-01T00:00:00.123Z", "2025-01-01T00:00:00.123Z"),
        ("At__c", "2025-01-01T02:00:00.1239+02:00", "2025-01-01T00:00:00.123Z"),
        ("At__c", "1969-12-31T23:59:59.9999+0000", "1969-12-31T23:59:59.999Z"),
        ("At__c", 1_735_689_600_123, "2025-01-01T00:00:00.123Z"),
        ("Days__c", "1970-01-03", "1970-01-03"),
        ("Micros__c", "2025-01-01T00:00:00.123Z", "2025-01-01T00:00:00.123Z"),
        ("Kind__c", "B", "B"),
        ("Line__c", {"No": 1}, {"No": 1, "Text": None}),
        ("Lines__c", [{"No": 1, "Text": "a"}], [{"No": 1, "Text": "a"}]),
        ("Map__c", {"a": 1}, {"a": 1.0}),
        ("Any__c", 1.5, 1.5),
        ("Any__c", "text", "text"),
        ("Raw__c", "AAE=", "AAE="),
        ("Four__c", "AAECAw==", "AAECAw=="),
    ],
)
def test_value_arrives_whole(field: str, sent: Any, read: Any) -> None:
    """A subscriber reads what was published."""
    assert published(**{field: sent}) == {"Needed__c": "x", field: read}


def test_decimals_are_exact() -> None:
    """Through their digits, never through a binary number."""
    price = published(Price__c=Decimal("1234.56"))["Price__c"]
    assert price == published(Price__c="1234.56")["Price__c"] == "AeJA"


def test_missing_field_is_null() -> None:
    """And so is one that is null."""
    assert published(Text__c=None) == {"Needed__c": "x"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Needed__c": None}, "Needed__c: is missing; the event needs this field"),
        ({"Text__c": 5}, "Text__c: found a number; must be a text: put the value in quotes"),
        ({"Text__c": "\ud800"}, "Text__c: found a text with an incomplete character"),
        ({"Number__c": "12 EUR"}, "Number__c: found a text; must be a number such as 12.5"),
        ({"Number__c": True}, "Number__c: found true; must be a number"),
        ({"Number__c": 2**53 + 1}, "Number__c: found a number with more digits than the field can hold"),
        ({"Number__c": Decimal("0.12345678901234567890")}, "Number__c: found a number with more digits"),
        ({"Number__c": Decimal("1e999")}, "Number__c: found a number that is too large"),
        ({"Number__c": 10**400}, "Number__c: found a number that is too large"),
        ({"Price__c": Decimal("1e999999999")}, "Price__c: found a number that is too large"),
        ({"Number__c": float("nan")}, "Number__c: found a number; must be a number"),
        ({"Count__c": 1.5}, "Count__c: found a number with decimals"),
        ({"Count__c": 2**31}, "Count__c: found a number that does not fit into 32 bits"),
        (
            {"Long__c": Decimal("1e999999")},
            "Long__c: found a number with decimals or a number that is too large",
        ),
        ({"Flag__c": "true"}, "Flag__c: found a text; must be true or false, without quotes"),
        ({"Day__c": "2025-02-30"}, "Day__c: found a date that does not exist"),
        ({"Day__c": "2025-01-01T00:00:00Z"}, "Day__c: found a text; must be a date, such as 2025-01-31"),
        ({"Day__c": 5}, "Day__c: found a number of milliseconds that is not midnight"),
        ({"At__c": "2025-01-01T00:00:00"}, "At__c: found a date-time without an offset"),
        ({"At__c": "2025-01-01"}, "At__c: found a text; must be a date-time with an offset from UTC"),
        ({"At__c": "2025-13-01T00:00:00Z"}, "At__c: found a text that is not a date-time"),
        ({"At__c": 2**62}, "At__c: found a time outside of the years 1 to 9999"),
        ({"Price__c": "1.234"}, "Price__c: can't be encoded: "),
        ({"Kind__c": "C"}, "Kind__c: found a text; must be one of A, B"),
        (
            {"Line__c": {"No": 1, "X": 2}},
            "Line__c: X: is not a member of the object; known members: No, Text",
        ),
        ({"Lines__c": [{"No": 1}, {"No": "x"}]}, "Lines__c: 1: No: found a text; must be a whole number"),
        ({"Raw__c": "?"}, "Raw__c: found a text; must be a text in base64"),
        ({"Four__c": "AAE="}, "Four__c: found 2 bytes; must be 4 bytes, in base64"),
        (
            {"Nunber__c": 1},
            "Nunber__c: Order__e has no such field; did you mean Number__c? known fields: CreatedDate, ",
        ),
    ],
)
def test_value_that_does_not_fit_is_refused(fields: dict[str, Any], message: str) -> None:
    """With the field and what to send; the value itself, which can be personal, is not repeated."""
    with pytest.raises(FieldRefused) as refused:
        published(**fields)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "schema", ["", "[]", '{"type": "string"}', '{"type": "record", "name": "X", "fields": []}']
)
def test_text_that_is_no_schema_of_an_event_is_refused(schema: str) -> None:
    """Whatever Salesforce answers."""
    with pytest.raises(UnusableSchema):
        DatumEncoder("id", schema)


def test_event_of_the_daemon_is_published_as_it_was_read() -> None:
    """Times, numbers and texts of JSON go through unchanged."""
    fields = {"Text__c": "a", "Number__c": 12.5, "Flag__c": True, "Day__c": "2025-01-02"}
    assert published(**orjson.loads(orjson.dumps(fields))) == {"Needed__c": "x", **fields}
