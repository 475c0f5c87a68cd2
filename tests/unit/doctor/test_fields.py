"""Names of fields in a configuration are compared with those that the org has."""

from typing import Any

import pytest

from streamer.doctor.configuration import entities_of, fields_of, unknown_fields
from streamer.settings import SubscriberSettings


def subscriber(**written: Any) -> SubscriberSettings:
    """Return the settings of a subscriber."""
    return SubscriberSettings.model_validate({"uses": "stdout", "on": "salesforce.cdc.Order.*", **written})


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ({"when": "data.fields.StageName == 'Won' && contains(data.changed_fields, 'X')"}, {"StageName"}),
        ({"body": {"a": "data.fields.Name.Last", "b": ["upper(data.fields.City)"]}}, {"Name", "City"}),
        ({"body": "data.fields.Lines[*].Sku | [0]"}, {"Lines"}),
        ({"body": "data.fields.{a: X}"}, set()),
        ({"body": "lines[?data.fields.X]"}, set()),
        ({"text": "{{ data.fields.Amount | money }} {{ data['fields']['B'].c }}"}, {"Amount", "B"}),
        ({"content": {"type": "text/plain", "template": "{% if data.fields.A %}x{% endif %}"}}, {"A"}),
    ],
)
def test_fields_are_found_wherever_they_are_read(written: dict[str, Any], fields: set[str]) -> None:
    """In expressions, in the parts of a body, and in templates."""
    assert fields_of(subscriber(**written)) == fields


@pytest.mark.parametrize(
    ("patterns", "entities"),
    [
        (["salesforce.cdc.Order.*", "salesforce.event.Paid__e"], {"Order", "Paid__e"}),
        (["salesforce.cdc.Order.created", "salesforce.cdc.*.deleted"], set()),
        (["*"], set()),
        (["salesforce.topic.Mine.created"], set()),
    ],
)
def test_objects_are_those_that_the_patterns_name(patterns: list[str], entities: set[str]) -> None:
    """A pattern that matches others too says nothing about their fields."""
    assert entities_of(patterns) == entities


def test_unknown_field_comes_with_the_name_most_like_it() -> None:
    """Case matters in an expression, and not in the search for what was meant."""
    order = {"fields": [{"name": "StageName"}, {"name": "Amount"}]}
    account = {"fields": [{"name": "Industry"}]}

    found = unknown_fields(["Amount", "Industry", "stagename", "StageNam", "Qqq"], [order, account])

    assert dict(found) == {"Qqq": "", "StageNam": "StageName", "stagename": "StageName"}
