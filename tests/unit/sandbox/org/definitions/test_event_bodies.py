"""Bodies of declared platform events."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

NAME = "Order_Placed__e"
CHANNEL = f"/event/{NAME}"


def test_unset_fields_are_null_in_the_event(world: OrgWorld) -> None:
    """Every field is there, in the order of its declaration, under its proper name."""
    world.org.publish_platform_event(NAME, {"order_no__C": "A-17"})
    (payload,) = world.payloads(CHANNEL)
    assert list(payload) == [
        "CreatedDate",
        "CreatedById",
        "Order_No__c",
        "Amount__c",
        "At__c",
        "Express__c",
        "Note__c",
    ]
    assert [payload[name] for name in list(payload)[2:]] == ["A-17", None, None, None, None]


def test_values_are_written_as_events_write_them(world: OrgWorld) -> None:
    """Times are UTC, and an empty text stays one."""
    fields = {"Order_No__c": "1", "Amount__c": "2.5", "At__c": "2025-01-01T01:00:00+01:00", "Note__c": ""}
    world.org.publish_platform_event(NAME, fields)
    (payload,) = world.payloads(CHANNEL)
    assert (payload["Amount__c"], payload["At__c"], payload["Note__c"]) == (
        2.5,
        "2025-01-01T00:00:00.000Z",
        "",
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Order_No__c": "1", "Nope__c": 1}, "INVALID_FIELD"),
        ({"Order_No__c": "123456"}, "STRING_TOO_LONG"),
        ({"Order_No__c": 5}, "JSON_PARSER_ERROR"),
        ({"Order_No__c": "1", "Amount__c": 1000}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Order_No__c": "1", "Express__c": "yes"}, "JSON_PARSER_ERROR"),
        ({"Order_No__c": "1", "At__c": "soon"}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    world: OrgWorld, refusal: Callable[..., Refused], fields: dict[str, Any], code: str
) -> None:
    """And nothing is published."""
    assert refusal(world.org.publish_platform_event, NAME, fields).code == code
    assert world.org.published == 0


def test_an_event_that_is_not_declared_has_what_it_is_given(world: OrgWorld) -> None:
    """As without a schema."""
    world.org.publish_platform_event("Paid__e", {"Any__c": 1})
    (payload,) = world.payloads("/event/Paid__e")
    assert list(payload) == ["CreatedDate", "CreatedById", "Any__c"]


@pytest.mark.parametrize("name", ["CreatedDate", "CreatedById", "With space", "1", "", "Ü__c", "x" * 81])
def test_a_name_that_no_field_can_have_is_refused(
    world: OrgWorld, refusal: Callable[..., Refused], name: str
) -> None:
    """Where nothing is declared, too: Avro has no such names."""
    assert refusal(world.org.publish_platform_event, "Paid__e", {name: 1}).code == "INVALID_FIELD"
    assert world.org.published == 0
