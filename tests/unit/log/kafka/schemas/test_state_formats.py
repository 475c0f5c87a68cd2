"""Formats of record states: what is written to a state topic, and read from it into a copy."""

import asyncio
import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

import fastavro
import orjson
import pytest
from hypothesis import given

from streamer.errors import LogUnavailable
from streamer.events import JsonObject, Partition
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.records.states import check_state
from streamer.log.kafka.schemas.record_types import EnvelopeForm
from streamer.log.kafka.schemas.registry import MemoryRegistry
from streamer.log.kafka.schemas.state_schemas import StateSchemaMissing
from streamer.log.records import encode_record_state
from streamer.state.merging import merged
from tests.unit.log.kafka.schemas.described import ACCOUNT, STEM, described_events, digits_of
from tests.unit.log.kafka.schemas.state_formats import TOPIC, Process, a_state, as_read, described

Described = tuple[JsonObject, list[JsonObject]]
WHOLE: JsonObject = {
    "Name": "Åcme",
    "AnnualRevenue": 12.5,
    "NumberOfEmployees": 7,
    "Active__c": False,
    "SLAExpirationDate__c": "2026-12-31",
    "LastModifiedDate": "2026-12-01T00:20:57.000Z",
    "BillingAddress": {"City": "Lyon", "Latitude": 45.75},
}
FORMS = [
    ("avro", {}),
    ("avro", {"id_in": "header"}),
    ("json-schema", {}),
    ("json-schema", {"id_in": "header"}),
]


@pytest.mark.parametrize("envelope", get_args(EnvelopeForm))
@pytest.mark.parametrize(("form", "options"), FORMS)
@given(described_events())
def test_state_is_read_as_it_was_written(
    form: str, options: JsonObject, envelope: EnvelopeForm, drawn: Described
) -> None:
    """A rebuilt copy has the same state, for any description, and the copy's own row is plain JSON."""
    describe, events = drawn

    async def check() -> None:
        process = Process(form, options=options, envelope=envelope)
        await process.registers(describe)
        before = None
        for data in events:
            state = a_state(merged({}, data["fields"]))
            _, row, (record,) = await process.written(state, before)
            before = state.fields
            assert row.value == encode_record_state(state)
            found = await Process(form, process.registry, options).read(record)
            assert digits_of(found.fields) == digits_of(state.fields)
            assert replace(found, fields=state.fields) == state

    asyncio.run(check())


async def test_role_without_login_takes_the_types_from_the_schema_of_the_changes() -> None:
    """An independent reader gets types, not texts; nothing is left in the other values."""
    process = Process()
    await process.registers(ACCOUNT)
    *_, (record,) = await process.written(a_state(WHOLE, read_at="2026-12-01T00:20:58.000Z"))

    assert isinstance(record, ProducerRecord)
    found = await by_fastavro(process.registry, record)
    assert found.pop("other_values") is None
    assert found["fields"]["AnnualRevenue"] == 12.5
    assert found["fields"]["NumberOfEmployees"] == 7
    assert str(found["fields"]["SLAExpirationDate__c"]) == "2026-12-31"
    assert found["fields"]["BillingAddress"] == {"City": "Lyon", "Latitude": 45.75}
    assert found["changed_at"].isoformat() == "2026-12-01T00:20:57.442000+00:00"
    assert found["read_at"].isoformat() == "2026-12-01T00:20:58+00:00"
    assert found["omitted"] is None
    assert (found["commit_number"], found["sequence"]) == (92233720368547758, 1)


async def test_record_has_the_frame_and_its_subject() -> None:
    """The headers tell the format, and the last change is beside the value as in JSON."""
    process = Process()
    await process.registers(ACCOUNT)
    *_, (record,) = await process.written(a_state(WHOLE))

    assert isinstance(record, ProducerRecord)
    assert record.value[:5] == b"\0\0\0\0\2"
    assert record.headers["content-type"] == b"application/avro; framing=schema-id"
    assert json.loads(record.headers["streamer-last"] or "")["event_id"] == "0004-17:1:001"
    latest = await process.registry.latest(f"{TOPIC}-value")
    assert latest is not None
    assert (json.loads(latest.text)["namespace"], json.loads(latest.text)["name"]) == (
        "salesforce.state",
        "Account",
    )


async def test_deletion_needs_no_schema() -> None:
    """A tombstone has no value, so it is written while the registry is down."""
    process = Process(registry=MemoryRegistry(outage="down"))
    _, row, (record,) = await process.written(a_state(None))

    assert row.value is None
    assert (await process.read(record)).is_deleted


async def test_states_are_json_until_the_changes_have_a_schema() -> None:
    """The backlog of a log that was JSON before does not wait for an event of each object."""
    process = Process()
    _, row, (record,) = await process.written(a_state(WHOLE))
    assert isinstance(record, ProducerRecord)
    assert (record.value, record.headers["content-type"]) == (row.value, b"application/json")

    await process.registers(ACCOUNT)
    assert process.schemas is not None
    process.schemas.forget_missing()
    *_, (record,) = await process.written(a_state(WHOLE))

    assert isinstance(record, ProducerRecord)
    assert record.value[:1] == b"\0"


async def test_known_schemas_go_on_while_the_registry_is_down() -> None:
    """A state of another object waits, and is written once the registry answers."""
    process = Process()
    await process.registers(ACCOUNT)
    await process.written(a_state(WHOLE))
    process.registry.outage = "down"

    *_, (record,) = await process.written(a_state({"Name": "Bolt"}))
    assert isinstance(record, ProducerRecord)
    with pytest.raises(LogUnavailable, match="down"):
        await process.written(replace(a_state({"Name": "Ann"}), entity="Contact"))
    assert process.readers.health.outage == "down"

    process.registry.outage = ""
    await process.written(replace(a_state({"Name": "Ann"}), entity="Contact"))
    assert process.readers.health.outage == ""


async def test_reader_waits_for_a_schema_and_reads_on() -> None:
    """A copy is never built without a state that it can't read yet."""
    process = Process()
    await process.registers(ACCOUNT)
    *_, (record,) = await process.written(state := a_state(WHOLE))
    other = Process(registry=process.registry)
    process.registry.outage = "down"
    with pytest.raises(LogUnavailable, match="down"):
        await other.read(record)

    process.registry.outage = ""
    assert await other.read(record) == state


async def test_reader_without_a_registry_names_the_setting() -> None:
    """The record is not taken for a foreign one, because the copy would lose it."""
    process = Process()
    await process.registers(ACCOUNT)
    *_, (record,) = await process.written(a_state(WHOLE))
    process.decoder.schemas.registry = None
    process.readers._readers.clear()

    with pytest.raises(LogUnavailable, match=r"set log\.kafka\.schema_registry"):
        await process.read(record)


async def test_field_of_a_newer_version_is_in_the_next_schema() -> None:
    """The changes' new version is looked up when a state carries the field first."""
    process = Process()
    await process.registers(described({"Name": "string"}))
    await process.written(a_state({"Name": "Acme"}))
    await process.registers(described({"Name": "string", "Phone": "phone"}))

    *_, (record,) = await process.written(a_state({"Name": "Acme", "Phone": "1"}))

    assert isinstance(record, ProducerRecord)
    found = await by_fastavro(process.registry, record)
    assert (found["fields"], found["other_values"]) == ({"Name": "Acme", "Phone": "1"}, None)


async def test_deleted_field_stays_in_the_other_values_without_a_request_each() -> None:
    """A state keeps the field until the record is read again."""
    process = Process()
    await process.registers(described({"Name": "string"}))
    await process.written(a_state({"Name": "a", "Gone__c": 1.5}))
    asked = len(process.registry.calls)

    *_, (record,) = await process.written(state := a_state({"Name": "b", "Gone__c": 2.5}))

    assert len(process.registry.calls) == asked
    assert await process.read(record) == state


async def test_number_that_a_double_can_not_hold_is_kept() -> None:
    """A state can't become a dead letter, so its number is in the other values, with all digits."""
    process = Process()
    await process.registers(described({"Amount": "currency", "Count": "int"}))
    fields = {"Amount": Decimal("0.12345678901234567890"), "Count": 2**63 + 1}

    *_, (record,) = await process.written(state := a_state(fields))

    assert digits_of((await process.read(record)).fields) == digits_of(state.fields)


@pytest.mark.parametrize("numbers", ["decimal", "string"])
async def test_forms_of_numbers_are_those_of_the_changes(numbers: str) -> None:
    """The precision and the scale come from the registered schema."""
    process = Process(options={"numbers": numbers})
    await process.registers(described({"Amount": "currency"}))

    *_, (record,) = await process.written(state := a_state({"Amount": 12.25}))

    assert isinstance(record, ProducerRecord)
    found = await by_fastavro(process.registry, record)
    assert found["fields"]["Amount"] == (Decimal("12.25") if numbers == "decimal" else "12.25")
    assert await process.read(record) == state


async def test_incompatible_type_waits_with_the_remedy() -> None:
    """The state is refused before anything is written, and is written once an operator allows it."""
    process = Process()
    await process.registers(described({"Rank": "string"}))
    await process.written(a_state({"Rank": "first"}))
    await process.registry.require(f"{STEM}-value", "NONE")
    await process.registers(described({"Rank": "double", "New": "string"}))

    with pytest.raises(LogUnavailable, match=f"set the compatibility of the subject {TOPIC}-value to NONE"):
        await process.written(state := a_state({"Rank": 1.5, "New": "x"}))
    assert process.schemas is not None
    assert "undo the change in the org" in process.schemas.refusal

    await process.registry.require(f"{TOPIC}-value", "NONE")
    *_, (record,) = await process.written(state)
    assert process.schemas.refusal == ""
    assert await process.read(record) == state


async def test_new_topic_of_changes_keeps_the_states_in_one_topic_with_the_former_type() -> None:
    """A table in two topics would be incomplete in both; a value of the new type is in the other values."""
    process = Process(options={"on_incompatible": "new-topic"})
    await process.registers(described({"Rank": "string", "Name": "string"}))
    await process.written(a_state({"Rank": "first", "Name": "a"}))
    await process.registers(described({"Rank": "double", "Name": "string", "New": "string"}))
    assert await process.registry.latest(f"{STEM}.v2-value") is not None

    *_, (record,) = await process.written(state := a_state({"Rank": 1.5, "Name": "b", "New": "x"}))

    assert isinstance(record, ProducerRecord)
    found = await by_fastavro(process.registry, record)
    assert found["fields"] == {"Rank": None, "Name": "b", "New": "x"}
    assert found["other_values"] == {"fields.Rank": "1.5"}
    assert await process.read(record) == state
    assert await process.registry.latest(f"{TOPIC}.v2-value") is None


async def test_json_is_written_once_for_the_copy_and_the_topic() -> None:
    """With JSON Schema, the value is the copy's row behind the frame."""
    process = Process("json-schema")
    await process.registers(ACCOUNT)
    _, row, (record,) = await process.written(a_state(WHOLE))

    assert isinstance(record, ProducerRecord)
    assert record.value == b"\0\0\0\0\2" + (row.value or b"")


async def test_json_schema_describes_the_states() -> None:
    """A validator of another program accepts the value, and refuses a value of another type."""
    jsonschema = pytest.importorskip("jsonschema")
    process = Process("json-schema")
    await process.registers(ACCOUNT)
    _, row, _ = await process.written(a_state({**WHOLE, "Gone__c": 1}))

    latest = await process.registry.latest(f"{TOPIC}-value")
    assert latest is not None
    validator = jsonschema.Draft7Validator(json.loads(latest.text))
    state = json.loads(row.value or b"")
    assert [each.message for each in validator.iter_errors(state)] == []
    state["fields"]["NumberOfEmployees"] = True
    assert list(validator.iter_errors(state))


async def test_state_is_told_from_a_foreign_record_without_its_schema() -> None:
    """The doctor looks at many topics, and asks no registry."""
    process = Process()
    await process.registers(ACCOUNT)
    *_, (record,) = await process.written(a_state(WHOLE))
    check_state(as_read(record))

    assert isinstance(record, ProducerRecord)
    for foreign in (
        record._replace(headers={}),
        record._replace(value=b"hello", headers={**record.headers, "content-type": b"text/plain"}),
    ):
        with pytest.raises(ValueError, match="not a state"):
            check_state(as_read(foreign))
        with pytest.raises(ValueError, match="not a state"):
            await process.read(foreign)


async def test_missing_schema_is_told_with_the_state() -> None:
    """The thread that writes names what the event loop looks up."""
    process = Process()
    with pytest.raises(StateSchemaMissing) as raised:
        process.encoder.encode(a_state(WHOLE), Partition(topic=TOPIC, number=0), 0)

    assert raised.value.entity == "Account"
    assert raised.value.data["fields"] == WHOLE


async def by_fastavro(registry: MemoryRegistry, record: ProducerRecord) -> Any:
    """Return a value in Avro as an independent library reads it."""
    schema = await registry.schema(int.from_bytes(record.value[1:5], "big"))
    assert schema is not None
    parsed = fastavro.parse_schema(orjson.loads(schema.text))
    return fastavro.schemaless_reader(io.BytesIO(record.value[5:]), parsed, None)
