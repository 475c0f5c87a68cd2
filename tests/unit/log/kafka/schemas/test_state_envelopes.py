"""Envelopes of states: what consumers get, and what a copy that is built again reads."""

import json
from typing import Any, get_args

import pytest

from streamer.events import JsonObject
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.kafka.records.states import check_state
from streamer.log.kafka.schemas.record_types import EnvelopeForm
from tests.unit.log.kafka.schemas.described import ACCOUNT, STEM
from tests.unit.log.kafka.schemas.state_formats import TOPIC, Process, a_state, as_read, described
from tests.unit.log.kafka.schemas.test_state_formats import WHOLE, by_fastavro

ENVELOPES: tuple[EnvelopeForm, ...] = get_args(EnvelopeForm)
OTHERS: tuple[EnvelopeForm, ...] = ("flat", "debezium")
ID = "001000000000001AAA"
ABOUT = {"event_id": "0004-17:1:001", "commit_number": 92233720368547758, "sequence": 1}


def plain(envelope: EnvelopeForm) -> Process:
    """Return a process whose state topic has JSON without a schema."""
    return Process("json", options={}, envelope=envelope)


async def value_of(process: Process, fields: JsonObject | None, before: JsonObject | None = None) -> Any:
    """Return the first value in JSON that a state leads to."""
    first, *_ = (await process.written(a_state(fields), before)).records
    return json.loads(first.value) if isinstance(first, ProducerRecord) else None


async def test_flat_record_has_its_fields_beside_the_other_keys() -> None:
    """A sink needs no transformation to get columns."""
    assert await value_of(plain("flat"), {"Name": "Acme", "BillingAddress": {"City": "Lyon"}}) == {
        "record_id": ID,
        "entity": "Account",
        "changed_at": "2026-12-01T00:20:57.442Z",
        **ABOUT,
        "Name": "Acme",
        "BillingAddress": {"City": "Lyon"},
    }


async def test_record_is_before_and_after_its_change_as_debezium_has_it() -> None:
    """A change has both records, the kind of the change, and where it comes from."""
    found = await value_of(plain("debezium"), {"Name": "New"}, {"Name": "Old"})

    assert found["source"] == {
        "version": "1.2",
        "connector": "streamer",
        "name": "streamer",
        "table": "Account",
        "snapshot": "false",
        "ts_ms": 1796084457442,
        **ABOUT,
    }
    assert found["before"] == {"record_id": ID, "Name": "Old"}
    assert found["after"] == {"record_id": ID, "Name": "New"}
    assert (found["op"], found["ts_ms"]) == ("u", 2_000_000_000_000)


@pytest.mark.parametrize(
    ("last", "before", "op"),
    [({}, None, "c"), ({"commit_number": None, "sequence": None}, None, "r"), ({}, {}, "u")],
    ids=["created", "read", "updated"],
)
async def test_kind_of_the_change(last: JsonObject, before: JsonObject | None, op: str) -> None:
    """A row of a snapshot does not create the record, and a record without values can be updated."""
    (record,) = (await plain("debezium").written(a_state({"Name": "A"}, **last), before)).records

    assert isinstance(record, ProducerRecord)
    assert json.loads(record.value)["op"] == op


@pytest.mark.parametrize("form", ["json", "avro", "json-schema"])
async def test_deletion_has_the_former_record_and_then_a_tombstone(form: str) -> None:
    """Both are deletions for a copy that is built again, even if compaction removes one of them."""
    process = Process(form, envelope="debezium")
    await register(process)
    event, tombstone = (await process.written(a_state(None), WHOLE)).records

    assert isinstance(event, ProducerRecord)
    assert isinstance(tombstone, Tombstone)
    assert (event.key, event.partition) == (tombstone.key, tombstone.partition)
    for each in (event, tombstone):
        check_state(as_read(each))
        assert (await process.read(each)).is_deleted


@pytest.mark.parametrize("envelope", OTHERS)
async def test_deletion_of_an_unknown_record_is_a_tombstone_alone(envelope: EnvelopeForm) -> None:
    """An event without the former record would stop some consumers."""
    (only,) = (await plain(envelope).written(a_state(None))).records

    assert isinstance(only, Tombstone)


@pytest.mark.parametrize("envelope", OTHERS)
async def test_fields_have_their_types_in_avro(envelope: EnvelopeForm) -> None:
    """An independent reader gets typed columns, and nothing is left in the other values."""
    process = Process(envelope=envelope)
    await process.registers(ACCOUNT)
    (record,) = (await process.written(a_state(WHOLE), {"Name": "Old", "AnnualRevenue": 1})).records

    assert isinstance(record, ProducerRecord)
    found = await by_fastavro(process.registry, record)
    assert found.pop("other_values") is None
    row = found if envelope == "flat" else found["after"]
    assert (row["record_id"], row["AnnualRevenue"], row["NumberOfEmployees"]) == (ID, 12.5, 7)
    assert row["BillingAddress"] == {"City": "Lyon", "Latitude": 45.75}
    if envelope == "debezium":
        assert (found["op"], found["before"]["Name"], found["before"]["AnnualRevenue"]) == ("u", "Old", 1.0)
        assert found["source"]["table"] == "Account"


@pytest.mark.parametrize("envelope", OTHERS)
async def test_validator_of_json_schema_accepts_the_values(envelope: EnvelopeForm) -> None:
    """So does a field that the org no longer describes."""
    jsonschema = pytest.importorskip("jsonschema")
    process = Process("json-schema", envelope=envelope)
    await process.registers(ACCOUNT)
    (record,) = (await process.written(a_state({**WHOLE, "Gone__c": 1}), {"Left__c": 2})).records

    latest = await process.registry.latest(f"{TOPIC}-value")
    assert latest is not None
    assert isinstance(record, ProducerRecord)
    validator = jsonschema.Draft7Validator(json.loads(latest.text))
    value = json.loads(record.value[5:])
    assert [each.message for each in validator.iter_errors(value)] == []
    row = value if envelope == "flat" else value["after"]
    row["NumberOfEmployees"] = True
    assert list(validator.iter_errors(value))


@pytest.mark.parametrize("form", ["avro", "json-schema"])
@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_types_can_change_with_a_new_topic_of_changes(form: str, envelope: EnvelopeForm) -> None:
    """The state topic keeps the former type, and each value is read as it was."""
    process = Process(form, options={"on_incompatible": "new-topic"}, envelope=envelope)
    await process.registers(described({"Rank": "string", "Name": "string"}))
    await process.written(a_state({"Rank": "first", "Name": "a"}))
    await process.registers(described({"Rank": "double", "Name": "string", "New": "string"}))

    state = a_state({"Rank": 1.5, "Name": "b", "New": "x"})
    (record,) = (await process.written(state, {"Rank": "first", "Name": "a"})).records

    assert await process.read(record) == state
    if form == "avro":
        assert await process.registry.latest(f"{STEM}.v2-value") is not None


@pytest.mark.parametrize("envelope", ENVELOPES)
async def test_value_never_exceeds_what_kafka_takes(envelope: EnvelopeForm) -> None:
    """The record before the change goes first, then the largest fields."""
    for largest in range(1_000, 1_900, 31):
        process = plain(envelope)
        object.__setattr__(process.encoder, "largest", largest)
        state = a_state({"Name": "A", "Long": "x" * 500, "Longer": "y" * 700})
        (record,) = (await process.written(state, {"Name": "B", "Long": "z" * 500})).records

        assert isinstance(record, ProducerRecord)
        assert len(record.value) <= largest
        found = await process.read(record)
        assert found.fields is not None
        assert {*found.fields, *found.omitted} == {"Name", "Long", "Longer"}


@pytest.mark.parametrize("written", ENVELOPES)
@pytest.mark.parametrize("read", ENVELOPES)
async def test_envelope_can_be_switched(written: EnvelopeForm, read: EnvelopeForm) -> None:
    """A copy is built from records in all envelopes."""
    (record,) = (await plain(written).written(state := a_state(WHOLE), {"Name": "Old"})).records

    assert await plain(read).read(record) == state


@pytest.mark.parametrize(
    "value",
    [
        b'{"record_id":1,"a":',
        b'{"op":"u","after":{"Name":"A"}}',
        b'{"op":"u","source":[],"after":3}',
        b'{"op":1}',
    ],
)
async def test_broken_value_is_foreign(value: bytes) -> None:
    """A reader sets it aside, and goes on."""
    (record,) = (await plain("debezium").written(a_state(WHOLE))).records

    assert isinstance(record, ProducerRecord)
    with pytest.raises(ValueError, match=r"."):
        await plain("debezium").read(record._replace(value=value))


async def register(process: Process) -> None:
    """Register the schema of accounts, if the format has schemas."""
    if process.form != "json":
        await process.registers(ACCOUNT)
