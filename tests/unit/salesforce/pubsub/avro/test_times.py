"""Dates and date-times are the texts of CometD."""

from typing import Any

import pytest

from streamer.errors import UnreadableEvent
from tests.unit.salesforce.pubsub.avro.samples import (
    HEADER,
    Avro,
    body,
    change_schema,
    decoded,
    header,
    optional,
    parsed,
    written,
)

MS = 1_735_689_600_123


def read(field: Avro, value: int) -> Any:
    """Return the value of a field as it is read."""
    return body(change_schema(field), "CREATE", **{field["name"]: value})[field["name"]]


@pytest.mark.parametrize(
    "doc", ["Data:DateTime", "Data:DateTime:00N000000000001", "CreatedDate:DateTime", "Formula:DateTime:00N1"]
)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MS, "2025-01-01T00:00:00.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-8_520_336_000_000, "1700-01-01T00:00:00.000Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_date_time_is_known_by_its_documentation(doc: str, value: int, text: str) -> None:
    """Its milliseconds are kept, before 1970 too."""
    assert read(optional("Begin__c", "long", doc=doc), value) == text


@pytest.mark.parametrize("doc", ["Data:DateOnly", "Data:Date:00N000000000001", "Formula:DateOnly:00N1"])
@pytest.mark.parametrize(("value", "text"), [(1_735_689_600_000, "2025-01-01"), (-86_400_000, "1969-12-31")])
def test_date_is_known_by_its_documentation(doc: str, value: int, text: str) -> None:
    """Avro carries its midnight in UTC."""
    assert read(optional("Due__c", "long", doc=doc), value) == text


@pytest.mark.parametrize("name", ["CreatedDate", "LastModifiedDate"])
def test_system_field_is_known_by_its_name(name: str) -> None:
    """Every event has them, and a normaliser needs them."""
    assert read(optional(name, "long"), MS) == "2025-01-01T00:00:00.123Z"
    assert read({"name": name, "type": "long"}, MS) == "2025-01-01T00:00:00.123Z"
    event = {"type": "record", "name": "Order_Placed__e", "fields": [{"name": name, "type": "long"}]}
    assert decoded(event, **{name: MS}) == {name: "2025-01-01T00:00:00.123Z"}


@pytest.mark.parametrize(
    "doc", ["", "DateTime", "Data:Double:00N1", "Data:TimeOnly", "Data", "::", "Data:Text:Date"]
)
def test_number_stays_a_number(doc: str) -> None:
    """A field of another name that no text calls a time is not guessed at."""
    assert read(optional("ClosedDate", "long", doc=doc), MS) == MS


def test_documentation_of_another_kind_is_no_documentation() -> None:
    """A schema can hold anything there."""
    assert read(optional("Begin__c", "long", doc=["Data:DateTime"]), MS) == MS


def test_text_that_is_documented_as_a_time_stays_as_it_is() -> None:
    """It is one already."""
    schema = change_schema(optional("Begin__c", doc="Data:DateTime"))

    assert body(schema, "CREATE", Begin__c="2025-01-01") == {"Begin__c": "2025-01-01"}


def test_part_of_a_compound_has_its_own_documentation() -> None:
    """A system field's name means nothing there."""
    parts = [optional("At", "long", doc="Data:DateTime"), optional("CreatedDate", "long")]
    schema = change_schema(optional("Visit__c", {"type": "record", "name": "Visit", "fields": parts}))

    assert body(schema, "CREATE", Visit__c={"At": MS, "CreatedDate": MS}) == {
        "Visit__c": {"At": "2025-01-01T00:00:00.123Z", "CreatedDate": MS}
    }


@pytest.mark.parametrize(
    ("kind", "doc", "text"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, "", "2025-01-01T00:00:00.123Z"),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, "", "2025-01-01T00:00:00.123Z"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "Data:DateOnly", "2025-01-01"),
    ],
)
def test_logical_type_states_a_time(kind: Any, doc: str, text: str) -> None:
    """Avro's own way to say it."""
    plain = change_schema(optional("Begin__c", "long"))
    data = written(plain, {"ChangeEventHeader": header("CREATE"), "Begin__c": MS})

    assert parsed(change_schema(optional("Begin__c", kind, doc=doc))).decode(data)["Begin__c"] == text


def test_logical_type_states_the_unit() -> None:
    """Microseconds, or days."""
    micros, days = {"type": "long", "logicalType": "timestamp-micros"}, {"type": "int", "logicalType": "date"}
    data = written(
        change_schema(optional("A", "long"), optional("B", "int")),
        {"ChangeEventHeader": header("CREATE"), "A": MS * 1000 + 999, "B": 20_089},
    )

    payload = parsed(change_schema(optional("A", micros), optional("B", days))).decode(data)

    assert (payload["A"], payload["B"]) == ("2025-01-01T00:00:00.123Z", "2025-01-01")


@pytest.mark.parametrize("value", [253_402_300_800_000, -62_135_596_800_001, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("doc", ["Data:DateTime", "Data:DateOnly"])
def test_time_outside_of_the_calendar_is_unreadable(doc: str, value: int) -> None:
    """Salesforce has none."""
    with pytest.raises(UnreadableEvent, match="outside of the years"):
        read(optional("Begin__c", "long", doc=doc), value)


@pytest.mark.parametrize("kind", ["long", {"type": "long", "logicalType": "timestamp-millis"}])
def test_times_of_the_header_are_numbers(kind: Any) -> None:
    """CometD carries them so, whatever the schema says of them."""
    fields = [
        {**field, "type": kind, "doc": "Data:DateTime"} if field["name"] == "commitTimestamp" else field
        for field in HEADER["fields"]
    ]
    data = written(change_schema(optional("A")), {"ChangeEventHeader": header(commitTimestamp=MS)})

    payload = parsed(change_schema(optional("A"), header={**HEADER, "fields": fields})).decode(data)

    assert payload["ChangeEventHeader"]["commitTimestamp"] == MS
