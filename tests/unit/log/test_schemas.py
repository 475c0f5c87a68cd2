"""The published schemas accept the records that Streamer writes, and refuse others."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from streamer.cloud_events import JSON, STRUCTURED
from streamer.controls import AuditRecord
from streamer.events import (
    Channel,
    DeadLetter,
    Event,
    HoleCause,
    JsonObject,
    Repair,
    ReplayId,
    Stage,
    SubscriberName,
)
from streamer.log import records
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.records.dead_letters import dead_letter_records
from streamer.log.kafka.records.envelopes import StateEnvelope
from streamer.log.kafka.records.events import EventEncoder, continuity_message, receipt_record
from streamer.log.schemas import SchemaName, data_of_types, definitions, definitions_of, schema
from streamer.normalise import normaliser_for
from streamer.normalise.record_events import (
    OrgRecord,
    SnapshotRead,
    recovered_event,
    snapshot_deletion,
    snapshot_event,
)
from streamer.salesforce.outbound.envelope import parse_envelope
from streamer.settings import KafkaLogSettings
from tests.contracts.values import a_dead_letter, a_hole, a_receipt
from tests.messages import CHANGES, ORDERS, ORG, change, events_of, order
from tests.outbound import LEADS, envelope, notification
from tests.schemas import CheckedTopics, event_mistakes, mistakes

READ = normaliser_for(CHANGES)
RECORD = "001AB00000TEST1YAA"
TRACE = f"00-{'0a' * 16}-{'0b' * 8}-01"
NAMES = Names.of(KafkaLogSettings(bootstrap_servers="nowhere:9092"))
TOPIC = Channel(org=ORG, path="/topic/OpenInvoices")
GENERIC = Channel(org=ORG, path="/u/notifications/Demo")
REDRIVEN = {"set_aside_at": "2026-01-01T00:00:00.000Z", "redriven_at": "2026-01-02T00:00:00.000Z"}


def changed(kind: str, record_id: str = RECORD, **fields: Any) -> Event:
    """Return the event of a change."""
    [event] = events_of(READ, change(1, record_id, kind=kind, **fields))
    return event


def read_records() -> Iterator[tuple[str, Event]]:
    """Yield events of records that were read, by the definitions that they keep."""
    record = OrgRecord(entity="Account", id=RECORD, fields={"Phone": None})
    read = SnapshotRead(snapshot="snapshot:7", channel=CHANGES, position=ReplayId(b"7"), read_at=0.0)
    yield "ChangeSnapshot", snapshot_event(record, read)
    yield "ChangeDeleted", snapshot_deletion("Account", RECORD, read, deleted_at=1.5)
    for kind in ("CREATE", "UPDATE", "DELETE", "UNDELETE"):
        yield "ChangeRecovered", recovered_event(changed(f"GAP_{kind}"), record, read_at=0.0)


def told() -> Iterator[tuple[str, Event]]:
    """Yield events as Salesforce tells them, by the definitions that they keep."""
    yield "ChangeCreated", changed("CREATE", Name="Acme")
    yield "ChangeUpdated", changed("UPDATE", Phone=None, Note={"diff": "--- "})
    yield "ChangeDeleted", changed("DELETE")
    yield "ChangeUndeleted", changed("UNDELETE")
    yield "ChangeSnapshot", changed("SNAPSHOT", Name="Acme")
    yield "ChangeGap", changed("GAP_OVERFLOW", "001000000000000AAA")
    yield "ChangeGap", changed("UPDATE", "001*")
    yield "PlatformEvent", events_of(normaliser_for(ORDERS), order(1, No__c="7"))[0]
    about = {"createdDate": "2026-01-01T00:00:00.000Z", "replayId": 7, "type": "updated"}
    notified = {"event": about, "sobject": {"Id": RECORD, "Name": None}}
    yield "PushTopicNotification", events_of(normaliser_for(TOPIC), {"data": notified})[0]
    sent = {"event": about, "payload": "text"}
    yield "GenericEvent", events_of(normaliser_for(GENERIC), {"data": sent})[0]
    [message] = parse_envelope(envelope(notification(1))).messages
    yield "OutboundMessage", events_of(normaliser_for(LEADS), {**message, "received_ms": 0})[0]


EVENTS = [*told(), *read_records()]
A_STATE: JsonObject = {
    "entity": "Account",
    "record_id": "001",
    "fields": {"Name": "Acme", "Rank__c": 1, "BillingAddress": {"City": "Lyon"}},
    "omitted": ["Body__c"],
    "changed_at": "2026-12-01T00:20:57.442Z",
    "event_id": "0004-17:1:001",
    "read_at": "2026-12-01T00:20:58.000Z",
    "commit_number": 7,
    "sequence": 1,
}
PUBLISHED = {
    SchemaName.EVENTS: "3fa830396bacb583",
    SchemaName.CHANGE_EVENTS: "04eb31bbb44b05e3",
    SchemaName.PLATFORM_EVENTS: "488849d4ae584552",
    SchemaName.PUSH_TOPICS: "98990f729b259b9c",
    SchemaName.GENERIC_EVENTS: "c9389a8cb3329520",
    SchemaName.OUTBOUND_MESSAGES: "c21385696c4fb041",
    SchemaName.CLOUD_EVENTS: "c16d91f8f23b776b",
    SchemaName.EVENT_HEADERS: "9134a1dbc417f53e",
    SchemaName.RECEIPTS: "5865b91a2cf200c8",
    SchemaName.DEAD_LETTERS: "36be6a6ae7822802",
    SchemaName.CONTINUITY: "73e31b35c480f0cb",
    SchemaName.AUDIT: "5fe44035e425ca0a",
    SchemaName.STATES: "bec9cb9264f83871",
}
"""Beginnings of the SHA-256 of the schemas, as JSON without spaces."""
SAMPLES: dict[str, Any] = {
    **{name: event.data for name, event in EVENTS},
    "Receipt": orjson.loads(records.encode_receipt(a_receipt("1"))),
    "DeadLetter": orjson.loads(records.encode_dead_letter(a_dead_letter("1")).body),
    "ContinuityRecord": orjson.loads(records.encode_continuity(a_hole())),
    "AuditRecord": orjson.loads(
        records.encode_audit(AuditRecord(at=1.5, what="subscriber.paused", by="ida", detail={"reason": "x"}))
    ),
    "RecordState": A_STATE,
    "FlatState": StateEnvelope(form="flat").of_state(A_STATE, None, 2),
    "StateChange": StateEnvelope(form="debezium").of_state(A_STATE, {"Name": "Old"}, 2),
}


@pytest.mark.parametrize(("name", "event"), EVENTS, ids=lambda each: each if isinstance(each, str) else "")
def test_data_keep_the_definition_of_their_type_and_no_other_kind(name: str, event: Event) -> None:
    """A consumer can tell the kinds of a change apart by the schemas alone, before and after a redrive."""
    redriven = replace(event, data={**event.data, "redriven": REDRIVEN})
    kinds = [each for each in definitions() if each.startswith("Change") and each != "ChangeEvent"]

    assert name in definitions_of(event.type)
    assert event_mistakes({"type": event.type, "data": event.data}) == []
    assert event_mistakes({"type": event.type, "data": redriven.data}) == []
    if name in kinds:
        assert [each for each in kinds if not mistakes(event.data, each)] == [name]


@pytest.mark.parametrize("traceparent", [None, lambda _event: TRACE], ids=["untraced", "traced"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("event", [event for _, event in EVENTS], ids=lambda event: event.type)
def test_record_of_an_event_keeps_the_schemas(event: Event, mode: Any, traceparent: Any) -> None:
    """Its headers, and in structured mode the whole CloudEvent."""
    record = EventEncoder(NAMES, mode, traceparent).encode(event, 2**42)
    checked = CheckedTopics()
    checked.event_of(record.value, record.read_headers)

    assert checked.mistakes == []


def written() -> Iterator[tuple[str, ProducerRecord]]:
    """Yield the records of topics beside those of events."""
    yield "receipts", receipt_record(a_receipt("1"), "t")
    yield "continuity", continuity_message(a_hole(), "t")
    bare = DeadLetter(
        id="1",
        stage=Stage.DISPATCH,
        channel="/data/ChangeEvents",
        reason="rejected",
        error="",
        hint="",
        failed_at=0.0,
        first_failed_at=0.0,
        subscriber=SubscriberName("erp"),
    )
    large = replace(bare, raw=b"x" * 1_000_000)
    for letter in (bare, large, a_dead_letter("1")):
        yield from (("dead-letters", record) for record in dead_letter_records(letter, "t"))


def test_records_beside_events_keep_the_schemas() -> None:
    """Headers too; a large dead letter is joined from its parts."""
    checked = CheckedTopics()
    for topic, record in written():
        checked.record_of(topic, record.value, record.read_headers)

    assert checked.mistakes == []
    assert checked.counts["DeadLetter"] == 3
    assert checked.counts["DeadLetterHeaders"] > 3


@pytest.mark.parametrize("cause", HoleCause)
def test_every_cause_of_a_hole_is_known(cause: HoleCause) -> None:
    """A cause that is added to the values is one of the schema."""
    hole = orjson.loads(records.encode_continuity(replace(a_hole(), cause=cause)))

    assert mistakes(hole, "ContinuityRecord") == []


@pytest.mark.parametrize(
    "value",
    [
        StateEnvelope(form="debezium").of_state(A_STATE, None, 2),
        StateEnvelope(form="debezium").of_deletion(A_STATE, {"Name": "Old"}, 2),
    ],
)
def test_first_state_and_deletion_keep_the_schema(value: JsonObject) -> None:
    """One of the two records is null."""
    assert mistakes(value, "StateChange") == []


@pytest.mark.parametrize("name", SAMPLES)
def test_missing_or_renamed_key_is_a_mistake(name: str) -> None:
    """Whichever it is, save for the keys that can be absent."""
    sample = SAMPLES[name]
    needed = definitions()[name]["required"]

    for key in sample:
        without = {each: sample[each] for each in sample if each != key}
        assert bool(mistakes(without, name)) == (key in needed or _is_one_of(name, key))
        assert mistakes({**without, f"{key.lower()}_renamed": sample[key]}, name)
        if key in needed:
            assert mistakes({**sample, key: object()}, name)


def _is_one_of(name: str, key: str) -> bool:
    return any({"required": [key]} == each for each in definitions()[name].get("anyOf", ()))


@pytest.mark.parametrize(("name", "digest"), PUBLISHED.items())
def test_published_schema_changes_on_purpose_only(name: SchemaName, digest: str) -> None:
    """Consumers generate code from it, so a new text or key is noted here too."""
    assert hashlib.sha256(orjson.dumps(schema(name))).hexdigest().startswith(digest)


def test_every_value_of_an_enumeration_is_in_its_schema() -> None:
    """The definitions are data, and name no value that the code lacks."""
    hole = definitions()["ContinuityRecord"]["properties"]
    letter = definitions()["DeadLetter"]["properties"]

    assert hole["cause"]["enum"] == list(HoleCause)
    assert hole["state"]["enum"] == list(Repair)
    assert letter["stage"]["enum"] == list(Stage)


def test_schemas_name_the_version_and_the_media_types_that_are_written() -> None:
    """A new version of the records' form needs new definitions."""
    every = definitions()
    versions = {
        each["properties"]["v"]["const"] for each in every.values() if "v" in each.get("properties", ())
    }
    binary, structured = (every[name]["properties"] for name in ("EventHeaders", "StructuredHeaders"))

    assert versions == {records.VERSION}
    assert binary["content-type"]["const"] == JSON.decode()
    assert structured["content-type"]["const"] == STRUCTURED.decode()


@pytest.mark.parametrize("name", SchemaName)
def test_schema_is_one_and_whole(name: SchemaName) -> None:
    """By the metaschema of its dialect; every reference leads to a definition within it."""
    found = json.loads(json.dumps(schema(name)))
    Draft202012Validator.check_schema(found)

    assert set(_references(found)) <= {f"#/$defs/{each}" for each in found.get("$defs", ())}
    assert found["$id"] == f"urn:streamer:schema:{name}:1"


def test_definitions_need_no_keyword_that_asyncapi_lacks() -> None:
    """AsyncAPI uses schemas of draft 7, and both read every definition alike."""
    whole = {"$defs": deepcopy(definitions())}
    Draft7Validator.check_schema(whole)

    for name, event in EVENTS:
        checked = Draft7Validator({**whole, "$ref": f"#/$defs/{name}"})
        assert [each.message for each in checked.iter_errors(event.data)] == []


def test_newer_streamer_can_add_keys() -> None:
    """The published schemas are open: a consumer that validates still works after an upgrade."""
    added = {**SAMPLES["Receipt"], "added_later": 1}

    assert Draft202012Validator(schema(SchemaName.RECEIPTS)).is_valid(added)


def test_every_event_type_has_one_pattern() -> None:
    """So the type alone says which data to expect."""
    used = {names for _, event in EVENTS for names in [definitions_of(event.type)]}

    assert used == set(data_of_types().values())
    with pytest.raises(LookupError):
        definitions_of("com.example.other")


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from _references(each)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)
