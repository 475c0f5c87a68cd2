"""A field that an event does not carry is not null."""

from typing import Any

import jmespath
import pytest
from hypothesis import given

from streamer.expressions.functions import Functions
from streamer.expressions.projection import ABSENT, projected
from tests.deliveries import event
from tests.unit.dispatch.world import route
from tests.unit.expressions.jmespath_cases import DOCUMENTS, EXPRESSIONS, found_by

FIELDS: dict[str, Any] = {
    "Stage": "Won",
    "Amount": 12,
    "Note": None,
    "Name": {"First": "Ann", "Title": None},
    "BillingAddress": None,
    "Lines": [{"sku": "a", "qty": 1}, {"sku": "b"}],
}
UPDATED = event(data={"entity": "Order", "fields": FIELDS, "nulled_fields": ["Note"]})


def body_of(shape: Any, **settings: Any) -> Any:
    """Return the body that `shape` makes of the update."""
    return route(body=shape, **settings).delivery(UPDATED, attempt=1).body


def found(expression: str) -> Any:
    """Return what a key of a body finds; `ABSENT` when the key is left out."""
    return body_of({"it": expression, "always": "'here'"}).get("it", ABSENT)


@pytest.mark.parametrize(
    "expression",
    [
        "data.fields.Missing",
        "data.fields.Name.Last",
        "data.fields.Amount.Cents",
        "data.fields.Lines[7].sku",
        "data.fields.Missing[0]",
        "data.fields.Missing[].x",
        "data.fields.Missing[*].x",
        "data.fields.Missing.*",
        "data.fields.Missing[?x == 'y']",
        "data.fields.Missing[1:]",
        "data.fields.Missing == 'Won'",
        "data.fields.Missing != 'Won'",
        "data.fields.Missing > `3`",
        "!data.fields.Missing",
        "!(data.fields.Missing)",
        "data.fields.Missing && 'yes'",
        "data.fields.Missing || data.fields.Gone",
        "to_string(data.fields.Missing)",
        "length(data.fields.Missing)",
        "data.fields.Missing | length(@)",
        "join(' ', [data.fields.Name.First, data.fields.Name.Last])",
        "not_null(data.fields.Missing, data.fields.Gone)",
        "data.fields.{amount: Missing}",
        "data.fields.[Amount, Missing]",
    ],
)
def test_key_whose_expression_meets_an_absent_field_is_left_out(expression: str) -> None:
    """Whatever the expression does with it: a value made of it would be wrong."""
    assert found(expression) is ABSENT


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.fields.Note", None),
        ("data.fields.Name.Title", None),
        ("data.fields.BillingAddress.City", None),
        ("`null`", None),
        ("data.fields.Note || `0`", 0),
        ("data.fields.Missing || 'none'", "none"),
        ("not_null(data.fields.Missing, data.fields.Amount)", 12),
        ("not_null(data.fields.Missing, data.fields.Note)", None),
        ("merge({a: data.fields.Missing}, {b: data.fields.Amount})", {"b": 12}),
        ("data.fields.{amount: Amount, gone: Missing, note: Note}", {"amount": 12, "note": None}),
        ("data.fields.Lines[*].qty", [1]),
        ("data.fields.Lines[?qty == `1`].sku", ["a"]),
        ("data.fields.Lines[*].{sku: sku, qty: qty}", [{"sku": "a", "qty": 1}, {"sku": "b"}]),
        ("sort_by(data.fields.Lines, &sku)[0].sku", "a"),
        ("map(&qty, data.fields.Lines)", [1, None]),
        ("contains(data.nulled_fields, 'Note')", True),
    ],
)
def test_null_is_sent_for_what_was_cleared_and_a_default_for_what_is_absent(
    expression: str, value: Any
) -> None:
    """`||` and `not_null` say what stands for an absent field; a part of a cleared field is cleared."""
    assert found(expression) == value


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ({"a": "subject", "b": {"c": "data.fields.Missing"}}, {"a": UPDATED.subject}),
        ({"a": {"b": "data.fields.Missing", "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1, "pair": ["data.fields.Amount", "data.fields.Missing"]}, {"a": 1}),
        (
            {"lines": [{"amount": "data.fields.Amount", "x": "data.fields.Missing"}]},
            {"lines": [{"amount": 12}]},
        ),
        ({"a": None, "b": {}, "c": [], "d": False}, {"a": None, "b": {}, "c": [], "d": False}),
        ({"a": "data.fields.Missing"}, {}),
        ("data.fields.Missing", {}),
        ({"a": "data.fields.Note"}, {"a": None}),
    ],
)
def test_object_goes_without_its_absent_keys_and_a_list_only_whole(shape: Any, body: Any) -> None:
    """Constants of the configuration are always sent; when nothing is left, the body is empty."""
    assert body_of(shape) == body


def test_keep_null_sends_null_for_absent_fields_too() -> None:
    """For a target that expects every key."""
    shape = {"a": "data.fields.Missing", "b": ["data.fields.Missing"]}

    assert body_of(shape, keep_null=True) == {"a": None, "b": [None]}


@given(EXPRESSIONS, DOCUMENTS)
def test_expression_means_the_same_wherever_it_stands(expression: str, document: dict[str, Any]) -> None:
    """Inside a multi-select hash it is interpreted, and alone it is a function."""
    alone, inside = jmespath.compile(expression), jmespath.compile(f"{{x: {expression}}}.x")

    expected = found_by(projected(inside, Functions()), document)
    assert repr(found_by(projected(alone, Functions()), document)) == repr(expected)


@given(EXPRESSIONS, DOCUMENTS)
def test_expression_that_meets_no_absent_field_finds_what_jmespath_finds(
    expression: str, document: dict[str, Any]
) -> None:
    """Absence changes nothing else."""
    compiled = jmespath.compile(expression)
    value = found_by(projected(compiled, Functions()), document)

    assert value is ABSENT or value == found_by(compiled.search, document)
