"""Mistakes of an expression that are visible without an event."""

import jmespath
import pytest

from streamer.expressions.checks import ExpressionMistake, check_expression
from streamer.expressions.functions import Functions

FUNCTIONS = Functions({"countries": {}}, {"main": b"secret"})
NAMES = ("data", "id", "receipts", "source", "subject", "time", "type")


def mistake_in(expression: str) -> ExpressionMistake | None:
    """Return the mistake in `expression`, if there is one."""
    try:
        check_expression(jmespath.compile(expression), FUNCTIONS, NAMES)
    except ExpressionMistake as mistake:
        return mistake
    return None


DATA_NAMES = ("change", "changed_fields", "fields", "record_id")


@pytest.mark.parametrize(
    ("expression", "told", "position"),
    [
        ("data.field.StageName", "data.field; did you mean data.fields?", 5),
        ("data.changedfields", "did you mean data.changed_fields?", 5),
        ("data.StageName == 'Won'", "did you mean data.fields.StageName? known: change, changed_fields", 5),
        ("{a: data.fields.X, b: length(data.feilds)}", "data.feilds; did you mean data.fields?", 34),
    ],
)
def test_member_that_no_event_has_is_named(expression: str, told: str, position: int) -> None:
    """Such a predicate never holds, and nothing else says why."""
    with pytest.raises(ExpressionMistake) as mistake:
        check_expression(jmespath.compile(expression), FUNCTIONS, NAMES, DATA_NAMES)

    assert told in str(mistake.value)
    assert mistake.value.lex_position == position


@pytest.mark.parametrize(
    "expression", ["data.fields.field", "data | field", "data.{a: field}", "data.fields[?data.x]", "data.*.x"]
)
def test_member_of_something_else_passes(expression: str) -> None:
    """Only the names of the event's data are known."""
    check_expression(jmespath.compile(expression), FUNCTIONS, NAMES, DATA_NAMES)


@pytest.mark.parametrize(
    "expression",
    [
        "data.fields.Anything.at[0].all",
        "receipts.invoice.number",
        "data.lines[?Amount > `1`].{a: Amount, b: [Name]}",
        "data.lines[*].[Amount]",
        "data.lines[].Amount",
        "data.*.Amount",
        "data | fields",
        "data.fields.{amount: Amount}",
        "map(&Amount, data.lines)",
        "sort_by(data.lines, &Amount)[0].Name",
        "{a: subject, b: data.fields.X} | a",
        '`{"a": 1}`.a',
        "@.subject",
        "not_null(data.fields.X, 'none')",
        "upper(data.fields.X)",
        "length(data.fields)",
        "length(split(data.fields.X, ','))",
        "lookup('countries', data.fields.X, data.fields.Y)",
        "contains(data.changed_fields, 'X') && type == 'x'",
        "round(data.fields.X, `2`)",
        "upper(`null`)",
    ],
)
def test_expression_that_some_event_can_have_passes(expression: str) -> None:
    """Within a filter or a projection, a name belongs to an element."""
    assert mistake_in(expression) is None


@pytest.mark.parametrize(
    ("expression", "sentence", "position"),
    [
        ("subjct == 'x'", "an event has no member with this name: subjct; did you mean subject?", 0),
        (
            "data.fields.X && Amount > `1`",
            "an event has no member with this name: Amount; fields of the record are",
            17,
        ),
        ("data.lines[?Amount > `1`] || lines", "an event has no member with this name: lines", 29),
        (
            "data.fields.A != null",
            "an event has no member with this name: null; put the value null in backticks: `null`",
            17,
        ),
        (
            "data.fields.A == true",
            "an event has no member with this name: true; put the value true in backticks: `true`",
            17,
        ),
        (
            'data.fields.StageName == "Closed Won"',
            "an event has no member with this name: Closed Won; put a text in single quotes: 'Closed Won'",
            25,
        ),
        ("[subject, {a: Amount}]", "an event has no member with this name: Amount", 14),
        ("Amount[*].x", "an event has no member with this name: Amount", 0),
        ("@.Amount", "an event has no member with this name: Amount", 2),
        ("length(Amount)", "an event has no member with this name: Amount", 7),
        ("uper('x')", "JMESPath has no such function: uper; did you mean upper?", 0),
        ("length()", "length() takes 1 argument, found 0", 0),
        ("merge()", "merge() takes at least 1 argument, found 0", 0),
        ("abs('x')", "abs(): argument 1 must be a number, found a text", 0),
        ("abs(type)", "abs(): argument 1 must be a number, found a text", 0),
        (
            "sort_by(data.lines, 'Amount')",
            "sort_by(): argument 2 must be an expression (&…), found",
            0,
        ),
        ("'a' == upper()", "upper(text) takes 1 argument, found 0", 7),
        ("replace('a', 'b')", "replace(text, old, new) takes 3 arguments, found 2", 0),
        ("add(`1`)", "add(value, other) takes at least 2 arguments, found 1", 0),
        ("upper(length(data.fields))", "upper(): argument 1 (text) must be a text, found a number", 0),
        ("upper(data)", "upper(): argument 1 (text) must be a text, found an object", 0),
        ("upper(subject == 'x')", "upper(): argument 1 (text) must be a text, found a boolean", 0),
        ("upper(data.lines[*])", "upper(): argument 1 (text) must be a text, found an array", 0),
        ("round(data.fields.X, `2`, 'halfup')", "round(): argument 3 (mode) must be one of half_up,", 0),
        ("to_zone(time, 'Europe/Berln')", "to_zone(): argument 2 (zone) must be a time zone such as", 0),
        ("add_time(time, `1`, 'fortnights')", "add_time(): argument 3 (unit) must be one of", 0),
        ("format('{} {}', 'a')", "format(): the template has 2 {}, and the number of values is 1", 0),
        (
            "lookup('countris', subject)",
            "found 'countris'; did you mean countries? known names: countries",
            0,
        ),
        ("lookup(data.table, subject)", "argument 1 (table) must be a name in quotes", 0),
        ("hmac_sha256(subject, 'mian')", "must name a key from hash_keys, found 'mian'", 0),
    ],
)
def test_mistake_is_told_with_its_place(expression: str, sentence: str, position: int) -> None:
    """Before any event comes."""
    mistake = mistake_in(expression)

    assert mistake is not None
    assert sentence in str(mistake)
    assert mistake.lex_position == position
