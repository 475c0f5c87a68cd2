"""Texts that are not a usable schema are refused, whatever they are."""

import contextlib
import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.salesforce.pubsub.avro import EventSchema, UnusableSchema
from tests.acceptance.fuzz.grammar import encoded, mutated
from tests.unit.salesforce.pubsub.avro.samples import ACCOUNT, ADDRESS, event_schema, optional


def refused(text: str) -> str:
    """Return the sentence with which a text is refused."""
    with pytest.raises(UnusableSchema) as caught:
        EventSchema.parse("Zx81QmVqT0aPq2n7kLw3Yg", text)
    message = str(caught.value)
    assert message.startswith("The event schema 'Zx81QmVqT0aPq2n7kLw3Yg' can't be used: ")
    return message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        "null",
        "7",
        '"string"',
        '"Order_Placed__e"',
        "[]",
        "{}",
        '["null", "string"]',
        '{"type": "record"}',
        '{"type": "string"}',
        '{"type": ["null", "string"]}',
        '{"type": null}',
        '{"type": "record", "name": "A", "fields": []}',
        '{"type": "record", "name": "A", "fields": {}}',
        '{"type": "record", "name": "A", "fields": ["F"]}',
        '{"type": "record", "name": "A.", "fields": [{"name": "F", "type": "string"}]}',
        '{"type": "record", "name": 7, "fields": [{"name": "F", "type": "string"}]}',
        '{"type": "record", "name": "A", "namespace": 7, "fields": [{"name": "F", "type": "string"}]}',
        '{"type": "record", "name": "A b", "fields": [{"name": "F", "type": "string"}]}',
        "[" * 2_000 + "]" * 2_000,
        "[" * 900 + "]" * 900,
        '{"type":' * 900 + '"string"' + "}" * 900,
        '"\ud800"',
    ],
)
def test_text_that_defines_no_record_is_refused(text: str) -> None:
    """The sentence names the schema."""
    refused(text)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Nothing", "A__c has the type 'Nothing', which the schema has not defined before"),
        (["null", "Nothing"], "A__c has the type 'Nothing', which the schema has not defined before"),
        ("null", "A__c is always null"),
        ({"type": "null"}, "A__c is always null"),
        ([], "A__c is a union of no types"),
        (["null", ["string"]], "A__c is a union within a union"),
        (None, "A__c has no type"),
        (7, "A__c has no type"),
        ({"type": "array"}, "A__c has no type"),
        ({"type": "array", "items": "null"}, "A__c is always null"),
        ({"type": "map", "values": {"type": "null"}}, "A__c is always null"),
        ({"type": "enum", "name": "E", "symbols": []}, "A__c has no symbols"),
        ({"type": "enum", "name": "E", "symbols": [1]}, "A__c has no symbols"),
        ({"type": "enum", "symbols": ["A"]}, "A__c is a type without a name"),
        ({"type": "fixed", "name": "F", "size": 0}, "A__c is fixed without a size"),
        ({"type": "fixed", "name": "F", "size": True}, "A__c is fixed without a size"),
        ({"type": "fixed", "name": "F"}, "A__c is fixed without a size"),
        ({"type": "record", "name": "R", "fields": []}, "A__c is a record without fields"),
        ({"type": "record", "name": "R", "fields": [{"type": "string"}]}, "A__c has a field without a name"),
        (
            {"type": "record", "name": "R", "fields": [{"name": "B", "type": "null"}]},
            r"A__c\.B is always null",
        ),
        (
            {"type": "record", "name": "R", "fields": [optional("B"), optional("B")]},
            "A__c has two fields with the same name",
        ),
        (
            {"type": "record", "name": "R", "fields": [optional("B", "R")]},
            r"A__c\.B contains the type 'R', which contains itself",
        ),
        (
            {"type": "record", "name": "Order_Placed__e", "fields": [optional("B")]},
            "A__c defines .* a second time",
        ),
        (
            {"type": "array", "items": "Order_Placed__e"},
            "A__c contains the type 'Order_Placed__e', which contains itself",
        ),
    ],
)
def test_type_that_can_not_be_read_is_refused(kind: Any, reason: str) -> None:
    """The sentence names the field. A type of no bytes, or within itself, could stand for endless values."""
    message = refused(json.dumps(event_schema({"name": "A__c", "type": kind})))

    assert re.search(rf"used: {reason}", message)


def test_deep_schema_is_refused() -> None:
    """Each level is a call, and a level of JSON."""
    kind: Any = "string"
    for level in range(30):
        kind = {"type": "record", "name": f"R{level}", "fields": [{"name": "F", "type": kind}]}

    assert "levels deep" in refused(json.dumps(event_schema({"name": "A__c", "type": kind})))


def test_large_schema_is_refused() -> None:
    """Salesforce's largest are a tenth of it."""
    assert "characters" in refused(json.dumps(event_schema(optional("A__c", doc="x" * 1_100_000))))


def test_schema_of_a_wide_object_is_read() -> None:
    """A type can have 800 custom fields and more."""
    fields = [optional(f"Field_{number}__c", doc=f"Data:Text:00N{number:012d}") for number in range(1_500)]

    assert EventSchema.parse("x", json.dumps(event_schema(*fields))).name == "Order_Placed__e"


INNER = {"type": "record", "name": "Inner", "fields": [optional(f"P{number}") for number in range(20)]}


@pytest.mark.parametrize(("kind", "count"), [("string", 2_000), (INNER, 1_985)])
def test_schema_of_more_fields_than_an_object_has_is_refused(kind: Any, count: int) -> None:
    """Sixteen thousand fit into a megabyte, and each would be looked at for each event."""
    fields = [optional("First", kind), *(optional(f"F{number}") for number in range(count))]
    with pytest.raises(UnusableSchema, match="fields"):
        EventSchema.parse("x", json.dumps(event_schema(*fields)))


@pytest.mark.parametrize(
    "kind",
    [
        ["null", *["string"] * 30_000],
        {"type": "enum", "name": "E", "symbols": [str(n) for n in range(30_000)]},
    ],
)
def test_schema_of_countless_types_is_refused(kind: Any) -> None:
    """One field can have as many."""
    with pytest.raises(UnusableSchema, match="types and symbols"):
        EventSchema.parse("x", json.dumps(event_schema({"name": "A", "type": kind})))


def test_schema_that_is_deep_by_its_references_is_refused() -> None:
    """Each record holds the one before it."""
    fields = [optional("R0", {"type": "record", "name": "T0", "fields": [optional("A")]})]
    for level in range(1, 500):
        parts = [optional("A", f"T{level - 1}")]
        fields.append(optional(f"R{level}", {"type": "record", "name": f"T{level}", "fields": parts}))

    assert "levels deep" in refused(json.dumps(event_schema(*fields)))


def test_records_that_multiply_each_other_cost_nothing() -> None:
    """The last one holds a billion billion fields, if its parts were counted one by one."""
    fields = [optional("R0", {"type": "record", "name": "T0", "fields": [optional("A")]})]
    for level in range(1, 9):
        parts = [optional(f"A{number}", f"T{level - 1}") for number in range(100)]
        fields.append(optional(f"R{level}", {"type": "record", "name": f"T{level}", "fields": parts}))

    EventSchema.parse("x", json.dumps(event_schema(*fields)))


@given(drawn=mutated(ACCOUNT) | mutated(event_schema(optional("A__c", ADDRESS), optional("B__c", "Address"))))
def test_any_schema_is_read_or_refused(drawn: Any) -> None:
    """Parts of it can be replaced by anything."""
    text = encoded(drawn).decode("utf-8", "surrogateescape")
    with contextlib.suppress(UnusableSchema):
        assert EventSchema.parse("x", text).name


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Rubbish raises nothing else."""
    with pytest.raises(UnusableSchema):
        EventSchema.parse(text, text)


def test_refusal_is_short() -> None:
    """Whoever sends a schema does not fill the log."""
    name = "x" * 100_000
    text = orjson.dumps(event_schema({"name": "A__c", "type": name})).decode()

    with pytest.raises(UnusableSchema) as caught:
        EventSchema.parse(name, text)

    assert len(str(caught.value)) < 300
