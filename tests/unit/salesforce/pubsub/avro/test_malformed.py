"""Invalid bytes are refused in one way, soon, and without much memory."""

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UnreadableEvent
from streamer.salesforce.pubsub.avro import EventSchema
from tests.acceptance.fuzz.grammar import torn
from tests.unit.salesforce.pubsub.avro.samples import (
    ACCOUNT,
    ADDRESS,
    PERSON_NAME,
    event_schema,
    header,
    optional,
    parsed,
    written,
)

STAMPS = {"CreatedDate": 1_735_689_600_517, "CreatedById": "005AB00000USER1YAA"}
ORDER = event_schema(
    optional("Order_No__c"),
    optional("Amount__c", "double"),
    optional("Express__c", "boolean"),
    optional("Colour__c", {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}),
    optional("Lines__c", {"type": "array", "items": ADDRESS}),
    optional("Map__c", {"type": "map", "values": "bytes"}),
    {"name": "Name", "type": ["null", "string", PERSON_NAME]},
    optional("Two__c", {"type": "fixed", "name": "Two", "size": 2}),
    optional("Due__c", "long", doc="Data:DateOnly"),
)
ORDER_DATA = written(
    ORDER,
    {
        **STAMPS,
        "Order_No__c": "A-17",
        "Amount__c": 12.5,
        "Express__c": True,
        "Colour__c": "GREEN",
        "Lines__c": [{"City": "Oslo", "Latitude": 59.9}, {"City": "Ulm"}],
        "Map__c": {"a": b"1", "b": b"22"},
        "Name": {"LastName": "Berg"},
        "Two__c": b"22",
        "Due__c": 0,
    },
)
ACCOUNT_DATA = written(
    ACCOUNT,
    {
        "ChangeEventHeader": header(
            changedFields=["0x400042", "4-0x06"], nulledFields=["4-0x04"], diffFields=["0x010000"]
        ),
        "Name": "Acme",
        "BillingAddress": {"City": "Oslo", "Latitude": 59.9},
        "AnnualRevenue": 1e6,
        "LastModifiedDate": 1_735_689_600_000,
    },
)
SCHEMAS = [(parsed(ORDER), ORDER_DATA), (parsed(ACCOUNT), ACCOUNT_DATA)]


def one(kind: Any) -> tuple[EventSchema, bytes]:
    """Return the schema of an event with one field of its own, and a datum up to that field."""
    schema = parsed(event_schema({"name": "V__c", "type": kind}))
    return schema, written(event_schema(), STAMPS)


def refused(schema: EventSchema, data: bytes) -> str:
    """Return the sentence with which a datum is refused."""
    with pytest.raises(UnreadableEvent) as caught:
        schema.decode(data)
    assert str(caught.value).startswith(f"The event is not a valid {schema.name} of the schema ")
    return str(caught.value)


@pytest.mark.parametrize(("schema", "data"), SCHEMAS)
def test_every_beginning_of_an_event_is_refused(schema: EventSchema, data: bytes) -> None:
    """Wherever it ends."""
    for end in range(len(data)):
        assert "is incomplete" in refused(schema, data[:end])


@pytest.mark.parametrize(("schema", "data"), SCHEMAS)
@pytest.mark.parametrize("rest", [b"\x00", b"\x02", b"x" * 1_000])
def test_bytes_behind_an_event_are_refused(schema: EventSchema, data: bytes, rest: bytes) -> None:
    """They show that it was written with another schema."""
    assert f"{len(rest)} bytes follow the event" in refused(schema, data + rest)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("boolean", b"\x02", "neither true nor false"),
        ("long", b"\xff" * 9 + b"\x02", "more than 64 bits"),
        ("long", b"\xff" * 11, "more than 64 bits"),
        ("long", b"\x80" * 2_000, "more than 64 bits"),
        ("int", b"\xff", "is incomplete"),
        ("string", b"\x01", "negative length"),
        ("string", b"\x06ab", "is incomplete"),
        ("string", b"\x80\x01" + b"x" * 63, "is incomplete"),
        ("string", b"\x80", "is incomplete"),
        ("string", b"\x04\xff\xff", "not UTF-8"),
        ("string", b"\x06\xed\xa0\x80", "not UTF-8"),
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "is incomplete"),
        ("bytes", b"\xfe\xff\xff\xff\x0f", "is incomplete"),
        ("bytes", b"\x03", "negative length"),
        ("double", b"\x00" * 6 + b"\xf8\x7f", "not finite"),
        ("double", b"\x00" * 6 + b"\xf0\xff", "not finite"),
        ("double", b"\x00" * 7, "is incomplete"),
        ("float", b"\x00\x00\xc0\x7f", "not finite"),
        ("float", b"\x00", "is incomplete"),
        ({"type": "fixed", "name": "F", "size": 2**62}, b"\x00", "is incomplete"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x04", "symbol 2 of 2"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01", "symbol -1 of 2"),
        (["null", "string"], b"\x04", "branch 2 of 2"),
        (["null", "string"], b"\x01", "branch -1 of 2"),
        (["null", "string", "long"], b"\x03", "branch -2 of 3"),
        ({"type": "array", "items": "string"}, b"\xfe\xff\xff\xff\x0f\x00", "is incomplete"),
        ({"type": "array", "items": "string"}, b"\xff" * 9 + b"\x01", "is incomplete"),
        ({"type": "array", "items": "string"}, b"\x03\x01\x00\x00\x00", "negative length"),
        ({"type": "array", "items": "boolean"}, b"\x02\x00" * 100, "is incomplete"),
        ({"type": "map", "values": "string"}, b"\xfe\xff\xff\xff\x0f\x00", "is incomplete"),
        ({"type": "map", "values": "string"}, b"\x02\x02", "is incomplete"),
    ],
)
def test_value_that_is_none_is_refused(kind: Any, value: bytes, reason: str) -> None:
    """The sentence says what is wrong with it."""
    schema, data = one(kind)

    assert reason in refused(schema, data + value)


def test_numbers_can_be_longer_than_they_need() -> None:
    """Avro does not forbid zeros in front."""
    schema, data = one(["null", {"type": "array", "items": "string"}])

    assert schema.decode(data + b"\x80\x00")["V__c"] is None
    assert schema.decode(data + b"\x82\x00\x80\x80\x00")["V__c"] == []


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ({"type": "array", "items": "boolean"}, b"\x00"),
        ({"type": "array", "items": "string"}, b"\x04ab"),
        ({"type": "array", "items": {"type": "array", "items": "long"}}, b"\x00"),
        ({"type": "array", "items": {"type": "map", "values": "long"}}, b"\x00"),
        ({"type": "array", "items": ADDRESS}, b"\x00" * 8),
        (
            {
                "type": "array",
                "items": {"type": "record", "name": "R", "fields": [{"name": "F", "type": "boolean"}]},
            },
            b"\x00",
        ),
        ({"type": "map", "values": "boolean"}, b"\x04%\x00"),
    ],
)
def test_list_takes_bounded_memory(kind: Any, item: bytes) -> None:
    """A byte of it can stand for a whole object, so a twentieth of the largest datum takes 10 MB at most."""
    schema, data = one(kind)
    count = schema._largest // 20 // len(item)
    items = b"".join(item.replace(b"%", b"%02x" % (number % 256)) for number in range(count))

    tracemalloc.start()
    read = schema.decode(data + _long(count) + items + b"\x00")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert read["V__c"]
    assert peak < 10_000_000
    with pytest.raises(UnreadableEvent, match="the limit is"):
        schema.decode(b"\x00" * (schema._largest + 1))


def test_large_event_is_read() -> None:
    """Salesforce's largest event has a megabyte."""
    schema, data = one("string")

    assert schema.decode(data + _long(1_500_000) + b"x" * 1_500_000)["V__c"] == "x" * 1_500_000


def test_larger_event_than_salesforce_sends_is_refused() -> None:
    """Before anything of it is read."""
    schema, data = one("string")

    assert "bytes, but the limit is 2097152" in refused(schema, data + b"x" * 2_097_152)


@pytest.mark.parametrize(("schema", "_data"), SCHEMAS)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(schema: EventSchema, _data: bytes, data: bytes) -> None:
    """Rubbish raises nothing else."""
    _read_or_refused(schema, data)


@pytest.mark.parametrize(("schema", "sound"), SCHEMAS)
@given(drawn=st.data())
def test_event_with_broken_parts_is_read_or_refused(
    schema: EventSchema, sound: bytes, drawn: st.DataObject
) -> None:
    """Pieces of it are missing, doubled or overwritten."""
    data = sound
    for _ in range(drawn.draw(st.integers(1, 3))):
        data = drawn.draw(torn(data))
    _read_or_refused(schema, data)


@pytest.mark.parametrize(("schema", "sound"), SCHEMAS)
def test_event_with_another_byte_is_read_or_refused(schema: EventSchema, sound: bytes) -> None:
    """Each byte in turn is each of some others."""
    for index in range(len(sound)):
        for byte in (0, 1, 2, 3, 4, 0x30, 0x7F, 0x80, 0x81, 0xFF):
            _read_or_refused(schema, sound[:index] + bytes([byte]) + sound[index + 1 :])


def _read_or_refused(schema: EventSchema, data: bytes) -> None:
    with contextlib.suppress(UnreadableEvent):
        assert schema.decode(data)


def _long(value: int) -> bytes:
    """Return a number of at least zero as Avro writes it."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
