"""Records in Avro, written and read by us, and read by fastavro."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.log.kafka.schemas.avro import AvroWriter
from streamer.log.kafka.schemas.avro_reader import AvroReader
from streamer.log.kafka.schemas.avro_schema import avro_schema
from streamer.log.kafka.schemas.avro_values import InexactNumber
from streamer.log.kafka.schemas.record_types import Numbers, event_record
from tests.unit.log.kafka.schemas.described import ACCOUNT, STEM, a_change, described_events, digits_of

Described = tuple[JsonObject, list[JsonObject]]


def written_and_read(
    data: JsonObject, describe: JsonObject = ACCOUNT, numbers: Numbers = "double"
) -> JsonObject:
    """Return `data` after it was written and read."""
    record = event_record(STEM, describe, numbers)
    return AvroReader(avro_schema(record)).read(written(AvroWriter(record), data))


def written(writer: AvroWriter, data: JsonObject) -> bytes:
    """Return the datum of `data`, written in general and by the function of its shape."""
    first, second = writer.write(data), writer.write(data)
    assert first == second
    return first[0]


def read_by_fastavro(data: JsonObject, numbers: Numbers = "double") -> Any:
    """Return `data` after we wrote it and an independent library read it."""
    record = event_record(STEM, ACCOUNT, numbers)
    schema = fastavro.parse_schema(json.loads(avro_schema(record)))
    return fastavro.schemaless_reader(io.BytesIO(written(AvroWriter(record), data)), schema, None)


@given(described_events())
def test_event_is_read_as_it_was_written(drawn: Described) -> None:
    """Nulls, absent fields, texts, digits and values of a wrong type survive, for any description."""
    describe, events = drawn
    for data in events:
        assert digits_of(written_and_read(data, describe)) == digits_of(data)


@given(described_events())
def test_numbers_as_texts_keep_every_digit(drawn: Described) -> None:
    """A number that is written as text is read as the same number."""
    describe, events = drawn
    for data in events:
        assert digits_of(written_and_read(data, describe, "string")) == digits_of(data)


@given(described_events())
def test_fastavro_reads_every_datum(drawn: Described) -> None:
    """An independent reader finds a complete datum, with each text where its field says."""
    describe, events = drawn
    record = event_record(STEM, describe, "double")
    schema = fastavro.parse_schema(json.loads(avro_schema(record)))
    texts = {field["name"] for field in describe["fields"] if field["type"] == "string"}
    for data in events:
        stream = io.BytesIO(written(AvroWriter(record), data))
        found: Any = fastavro.schemaless_reader(stream, schema, None)
        assert stream.read() == b""
        for name in texts & data["fields"].keys():
            if isinstance(data["fields"][name], str):
                assert found["fields"][name] == data["fields"][name]


@given(described_events(), described_events())
def test_shape_is_written_with_values_of_any_type(drawn: Described, others: Described) -> None:
    """The function of a shape was made for other values, and must not write what its types do not hold."""
    describe, events = drawn
    record = event_record(STEM, describe, "double")
    writer, reader = AvroWriter(record), AvroReader(avro_schema(record))
    for data in events:
        writer.write(data)
        names, values = data["fields"], [each for other in others[1] for each in other["fields"].values()]
        odd = {**data, "fields": dict(zip(names, [*values, *names.values()], strict=False))}
        assert digits_of(reader.read(writer.write(odd)[0])) == digits_of(odd)
        assert writer.write(odd) == AvroWriter(record).write(odd)


def test_types_are_those_that_salesforce_describes() -> None:
    """A consumer gets numbers, times and compound fields in Avro's own types."""
    found = read_by_fastavro(
        a_change(
            {
                "Name": "Acme",
                "AnnualRevenue": 12.5,
                "NumberOfEmployees": 7,
                "Active__c": True,
                "SLAExpirationDate__c": "2026-11-27",
                "LastModifiedDate": "2026-11-27T16:20:31.250Z",
                "BillingAddress": {"City": "Oslo", "Latitude": 59.9},
                "Site__c": {"Latitude": 1.0},
            }
        )
    )

    assert found["fields"] == {
        "Name": "Acme",
        "AnnualRevenue": 12.5,
        "NumberOfEmployees": 7,
        "Active__c": True,
        "SLAExpirationDate__c": date(2026, 11, 27),
        "LastModifiedDate": datetime(2026, 11, 27, 16, 20, 31, 250_000, UTC),
        "BillingAddress": {"City": "Oslo", "Latitude": 59.9},
        "Site__c": {"Latitude": 1.0},
    }


def test_consumer_tells_cleared_fields_from_absent_ones() -> None:
    """Avro has one null for both, so the event names the fields that are null."""
    found = read_by_fastavro(a_change({"Name": None, "BillingAddress": {"City": None, "Latitude": 1.0}}))

    assert found["fields"]["AnnualRevenue"] is None
    assert found["null_fields"] == ["Name", "BillingAddress.City"]


def test_event_with_all_fields_names_no_null() -> None:
    """A snapshot has every field, so a list of its nulls would only take room."""
    record = event_record(STEM, ACCOUNT, "double")
    whole = {field.name: None for field in record.fields[-3].type.record.fields}  # type: ignore[union-attr]
    data = a_change({**whole, "Name": "Acme"})

    assert read_by_fastavro(data)["null_fields"] is None
    assert written_and_read(data) == data


def test_value_of_another_type_is_kept_as_json() -> None:
    """A large text's diff, or a masked number, fits no field, and is not lost."""
    data = a_change({"Name": {"diff": "--- \n+++ ab"}, "NumberOfEmployees": "****", "Old__c": 1.50})

    found = read_by_fastavro(data)

    assert found["other_values"] == {
        "fields.Name": '{"diff":"--- \\n+++ ab"}',
        "fields.NumberOfEmployees": '"****"',
        "fields.Old__c": "1.5",
    }
    assert written_and_read(data) == data


def test_unknown_fields_are_named() -> None:
    """The writer says which fields need a new description."""
    record = event_record(STEM, ACCOUNT, "double")

    assert AvroWriter(record).write(a_change({"Name": "Acme"}))[1] == ()
    assert AvroWriter(record).write(a_change({"New__c": 1, "Other__c": None}))[1] == [
        "fields.New__c",
        "fields.Other__c",
    ]


@pytest.mark.parametrize("value", [Decimal("12345678901234567.89"), 9_007_199_254_740_993, 10**400])
def test_number_that_no_double_holds_is_refused_with_the_remedy(value: Any) -> None:
    """Nothing is rounded silently."""
    with pytest.raises(InexactNumber, match=r"field fields.AnnualRevenue.*numbers to decimal or string"):
        written_and_read(a_change({"AnnualRevenue": value}))


@pytest.mark.parametrize("value", [Decimal("1234567890123456.78"), -0.01, 0.0, 5, 12.5, -128, 127, 1e15])
def test_decimals_keep_every_digit(value: Any) -> None:
    """With `numbers: decimal`, a consumer gets an exact decimal, and we read the same number."""
    data = a_change({"AnnualRevenue": value})

    expected = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    assert read_by_fastavro(data, "decimal")["fields"]["AnnualRevenue"] == expected
    assert digits_of(written_and_read(data, numbers="decimal")) == digits_of(data)


@pytest.mark.parametrize("value", [0.001, 1e17, Decimal("0.125")])
def test_decimal_of_another_scale_is_refused_with_the_remedy(value: Any) -> None:
    """A formula can have more digits than its description says."""
    with pytest.raises(InexactNumber, match=r"set log.kafka.schema_registry.numbers to string"):
        written_and_read(a_change({"AnnualRevenue": value}), numbers="decimal")


def test_name_of_an_account_is_a_text_or_a_record() -> None:
    """With person accounts, the same field has two forms."""
    parts = [
        {"name": part, "type": "string", "compoundFieldName": "Name"} for part in ("FirstName", "LastName")
    ]
    own = [{"name": "Name", "type": "string"}, {"name": "IsPersonAccount", "type": "boolean"}]
    describe = {"name": "Account", "fields": [*own, *parts]}
    for name in ("Acme", {"FirstName": "Ada", "LastName": "Lovelace"}, None):
        data = a_change({"Name": name})
        assert written_and_read(data, describe) == data
    assert "other_values" not in written_and_read(a_change({"Name": "Acme"}), describe)


def test_schema_does_not_depend_on_the_order_of_the_description() -> None:
    """The same fields give the same text, so that processes and restarts register one schema."""
    turned = {**ACCOUNT, "fields": ACCOUNT["fields"][::-1]}

    assert avro_schema(event_record(STEM, turned, "double")) == avro_schema(
        event_record(STEM, ACCOUNT, "double")
    )


def test_entity_without_description_keeps_its_values() -> None:
    """The user can read events of an entity that it can't describe."""
    record = event_record(STEM, None, "double")
    data = a_change({"Name": "Acme", "BillingAddress": {"City": "Oslo"}, "Site": None})

    assert AvroReader(avro_schema(record)).read(written(AvroWriter(record), data)) == data


@pytest.mark.parametrize("missing", ["entity", "record_id", "change", "fields", "changed_fields"])
def test_event_without_a_required_key_is_refused(missing: str) -> None:
    """Streamer makes no such event."""
    data = {name: value for name, value in a_change({}).items() if name != missing}

    with pytest.raises(ValueError, match=f"{missing} is missing"):
        written_and_read(data)


def test_damaged_datum_is_unreadable() -> None:
    """No cut or changed datum ends in another error, or in an event."""
    record = event_record(STEM, ACCOUNT, "double")
    reader, datum = (
        AvroReader(avro_schema(record)),
        AvroWriter(record).write(a_change({"Name": "Acme"}))[0],
    )

    for size in range(len(datum)):
        with pytest.raises(UnreadableEvent):
            reader.read(datum[:size])
    with pytest.raises(UnreadableEvent):
        reader.read(datum + b"\0")


@pytest.mark.parametrize(
    "text", ["{}", "[]", '"string"', "{", '{"type":"record","name":"A","fields":[{"name":"a"}]}']
)
def test_other_schema_is_unreadable(text: str) -> None:
    """A registry can hold anything under an id."""
    with pytest.raises(UnreadableEvent):
        AvroReader(text)
