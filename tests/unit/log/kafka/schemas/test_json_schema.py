"""JSON Schemas of events, held against the jsonschema package."""

import json
from typing import Any

import jsonschema
import orjson
from hypothesis import given

from streamer.events import JsonObject
from streamer.log.kafka.schemas.json_schema import JsonWriter, following, json_schema
from streamer.log.kafka.schemas.record_types import event_record
from tests.unit.log.kafka.schemas.described import ACCOUNT, STEM, a_change, described_events

Described = tuple[JsonObject, list[JsonObject]]


def mistakes(schema: str, data: JsonObject) -> list[str]:
    """Return what an independent validator finds."""
    validator = jsonschema.Draft7Validator(json.loads(schema))
    return [each.message for each in validator.iter_errors(json.loads(orjson.dumps(data)))]


def test_schema_takes_the_event_and_has_the_types() -> None:
    """A validating consumer accepts what Streamer writes, and refuses another type."""
    schema = json_schema(event_record(STEM, ACCOUNT, "double"))
    fields: dict[str, Any] = {"Name": "Acme", "AnnualRevenue": 12.5, "BillingAddress": {"City": None}}

    assert mistakes(schema, a_change(fields)) == []
    assert mistakes(schema, a_change({**fields, "Name": {"diff": "---"}, "Site__c": None})) == []
    assert mistakes(schema, a_change({"AnnualRevenue": "****"})) == []
    assert mistakes(schema, a_change({"AnnualRevenue": True})) != []
    assert mistakes(schema, a_change({"New__c": 1})) != []


@given(described_events())
def test_undescribed_fields_are_in_the_schema_once_they_are_known(drawn: Described) -> None:
    """The objects are closed, so the schema must name what an event carries."""
    describe, events = drawn
    record = event_record(STEM, {**describe, "fields": describe["fields"][:1]}, "double")
    for data in events:
        value, unknown = JsonWriter(record).write(data)
        assert orjson.loads(value) == json.loads(json.dumps(data))
        found = mistakes(json_schema(record, unknown), data)
        assert not [each for each in found if "Additional properties" in each]


def test_earlier_fields_stay_in_the_schema() -> None:
    """A consumer with the newest schema also reads records from before a field was deleted."""
    earlier = json_schema(event_record(STEM, ACCOUNT, "double"), ["fields.Old__c"])
    kept = [each for each in ACCOUNT["fields"] if each["name"] not in {"Name", "BillingCity"}]
    added = [*kept, {"name": "Phone", "type": "phone"}, {"name": "Old__c", "type": "double"}]

    schema = following(json_schema(event_record(STEM, {**ACCOUNT, "fields": added}, "double")), earlier)

    fields = {
        "Name": "Acme",
        "BillingAddress": {"City": "Oslo", "Latitude": 1.5},
        "Phone": "1",
        "Old__c": "any",
    }
    assert mistakes(schema, a_change(fields)) == []
    assert following(schema, earlier) == schema
