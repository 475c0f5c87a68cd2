"""Placeholders in topics, paths and addresses are filled by the event."""

from urllib.parse import quote

import pytest
from pydantic import TypeAdapter, ValidationError

from subscribers.placeholders import PlaceholderText, Template, Unfilled
from tests.deliveries import ORDER, delivery, event


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("fixed/topic", "fixed/topic"),
        ("salesforce/{entity}/{record_id}", f"salesforce/Order/{ORDER}"),
        ("{type}|{change}|{subject}|{id}|{key}", "salesforce.cdc.Order.created|created|801|tx:1:801|801"),
        ("{data.fields.City}/{data.fields.No}/{body.city}", "Ulm/7/Bonn"),
    ],
)
def test_values_of_the_event_are_put_in(text: str, filled: str) -> None:
    """Names that people know, and paths into the data and the body."""
    data = {"entity": "Order", "fields": {"City": "Ulm", "No": 7}}
    subject = ORDER if ORDER in filled else "801"

    found = Template(text).filled(
        delivery(event(data=data, subject=subject), body={"city": "Bonn"}), escape=lambda value: value
    )

    assert found == filled


def test_values_are_escaped_and_the_text_around_them_is_not() -> None:
    """A field's value can't leave its placeholder."""
    data = {"entity": "a/../b?c"}

    found = Template("x/{entity}").filled(delivery(event(data=data)), lambda value: quote(value, safe=""))

    assert found == "x/a%2F..%2Fb%3Fc"


@pytest.mark.parametrize("value", [None, "", ".", "..", True, 1.5, {}, []])
def test_value_that_names_nothing_is_told(value: object) -> None:
    """The placeholder without a value is named."""
    with pytest.raises(Unfilled, match=r"no whole number for \{data.fields.City\}"):
        Template("{data.fields.City}").filled(delivery(event(data={"fields": {"City": value}})), str)


def test_change_is_absent_from_events_about_no_record() -> None:
    """The last part of a platform event's type is its name."""
    with pytest.raises(Unfilled):
        Template("{change}").filled(delivery(event("salesforce.event.Order_Placed__e")), str)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a/{city}", "{city} is not a placeholder: write entity"),
        ("a/{data}", "{data} is not a placeholder"),
        ("a/{data.fields[0]}", "is not a placeholder"),
        ("a/{}", "{} is not a placeholder"),
        ("a/{entity", "has an unmatched brace"),
        ("a/entity}", "has an unmatched brace"),
    ],
)
def test_mistake_is_a_clear_sentence(text: str, sentence: str) -> None:
    """Before any event comes."""
    with pytest.raises(ValidationError) as error:
        TypeAdapter(PlaceholderText).validate_python(text)

    assert sentence in str(error.value)
