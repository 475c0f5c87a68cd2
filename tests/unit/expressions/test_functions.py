"""Functions of expressions: numbers, times, texts, hashes and tables."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.errors import BrokenRoute
from streamer.exact_json import exact_json
from streamer.expressions.functions import FunctionFailed, Functions
from streamer.expressions.projection import ABSENT
from tests.deliveries import event
from tests.unit.dispatch.world import TARGET, mistaken

FUNCTIONS = Functions({"countries": {"DE": "Germany", "47": {"name": "Norway"}}}, {"main": b"secret"})
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False)
ODD_TEXTS = st.sampled_from(
    [
        "1e9999999",
        "1e98",
        "NaN",
        "-Infinity",
        "2025-01-31",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "../x",
        "%d",
        "days",
    ]
)
FIELDS = {"Amount": 19.99, "Note": None, "Name": "Ann", "Country": "DE", "Zip": "0150", "Odd": "Infinity"}
CHANGED = event(data={"entity": "Order", "fields": FIELDS})


def found(expression: str) -> Any:
    """Return what a key of a body finds; `ABSENT` when the key is left out."""
    shape = {"it": expression, "always": "'here'"}
    route = compile_route(TARGET, RouteSource(body=shape), mistake=mistaken, functions=FUNCTIONS)
    return route.delivery(CHANGED, attempt=1).body.get("it", ABSENT)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("add(`0.1`, `0.2`, '0.3')", 0.6),
        ("add('12345678901234567.89', `1`)", Decimal("12345678901234568.89")),
        ("subtract(data.fields.Amount, `0.09`)", 19.9),
        ("multiply(data.fields.Amount, `3`)", 59.97),
        ("divide(`1`, `8`)", 0.125),
        ("divide(`10`, `3`)", Decimal("3.33333333333333333333")),
        ("divide(`10`, `3`, `2`)", 3.33),
        ("round(`2.675`, `2`)", 2.68),
        ("round(`2.5`, `0`, 'half_even')", 2),
        ("round(`1250`, `-2`)", 1300),
        ("decimal(' 12.50 ')", 12.5),
        ("sum([`0.1`, `0.2`])", 0.3),
        ("sum(`[]`)", 0),
        ("avg([`1`, `2`])", 1.5),
        ("avg(`[]`)", None),
        ("abs(multiply('-1', '12345678901234567.89'))", Decimal("12345678901234567.89")),
        ("to_string(add('12345678901234567.89', `0`))", "12345678901234567.89"),
        ("type(add('12345678901234567.89', `0`))", "number"),
        ("add(data.fields.Amount, `0.01`) == `20`", True),
        ("format_number(`1234567.891`, `2`, ',')", "1,234,567.89"),
        ("format_number(`1234.5`, `2`, '.', ',')", "1.234,50"),
        ("format_number(`-0.5`, `0`)", "-1"),
    ],
)
def test_decimals_are_exact(expression: str, value: Any) -> None:
    """In their arithmetic, and rounded as people do it."""
    assert (type(found(expression)), found(expression)) == (type(value), value)


@given(
    st.decimals(min_value=-(10**18), max_value=10**18, places=6),
    st.decimals(min_value=-(10**18), max_value=10**18, places=6),
)
def test_arithmetic_is_that_of_decimals(one: Decimal, other: Decimal) -> None:
    """And so is the JSON that is sent."""
    total = FUNCTIONS.call_function("add", [str(one), str(other)])

    assert Decimal(exact_json(total).decode()) == one + other


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("to_zone('2025-01-31T12:00:00.000Z', 'Europe/Berlin')", "2025-01-31T13:00:00+01:00"),
        ("to_zone('2025-07-31T12:00:00.123Z', 'UTC')", "2025-07-31T12:00:00.123Z"),
        ("format_time(time, '%d.%m.%Y %H:%M', 'Asia/Tokyo')", "01.01.2025 09:00"),
        ("format_time('2025-01-31', '%d/%m/%y')", "31/01/25"),
        ("date('2025-01-31T23:30:00Z', 'Asia/Tokyo')", "2025-02-01"),
        ("date('2025-01-31')", "2025-01-31"),
        ("parse_time('31.01.2025 12:00', '%d.%m.%Y %H:%M', 'Europe/Berlin')", "2025-01-31T12:00:00+01:00"),
        ("parse_date('31/01/25', '%d/%m/%y')", "2025-01-31"),
        ("add_time('2025-01-31', `1`, 'months')", "2025-02-28"),
        ("add_time('2024-02-29', `-1`, 'years')", "2023-02-28"),
        ("add_time('2025-01-31', `2`, 'weeks')", "2025-02-14"),
        # The clocks went forward at two o'clock on 30 March.
        ("add_time('2025-03-29T12:00:00Z', `1`, 'days', 'Europe/Berlin')", "2025-03-30T13:00:00+02:00"),
        ("add_time('2025-03-29T12:00:00Z', `24`, 'hours', 'Europe/Berlin')", "2025-03-30T14:00:00+02:00"),
        ("add_time('2025-03-29T02:30:00+01:00', `1`, 'days', 'Europe/Berlin')", "2025-03-30T03:30:00+02:00"),
        ("time_between('2025-01-01', '2025-03-01', 'days')", 59),
        ("time_between('2025-01-31', '2025-02-28', 'months')", 1),
        ("time_between('2025-03-01', '2025-01-02', 'months')", -1),
        ("time_between('2025-01-01T00:00:00Z', '2025-01-01T00:00:01.500Z', 'minutes')", 0.025),
        ("to_epoch('2025-01-01T00:00:00.500Z', 'milliseconds')", 1735689600500),
        ("from_epoch(`1735689600500`, 'milliseconds')", "2025-01-01T00:00:00.500Z"),
    ],
)
def test_times_know_their_zones(expression: str, value: Any) -> None:
    """And months of unlike lengths, and days of 23 hours."""
    assert found(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("upper(data.fields.Name)", "ANN"),
        ("lower('ÄB')", "äb"),
        ("trim('  a ')", "a"),
        ("trim('00120', '0')", "12"),
        ("replace('a-b-c', '-', '+')", "a+b+c"),
        ("split('a,b', ',')", ["a", "b"]),
        ("substring('abcdef', `-3`, `2`)", "de"),
        ("pad_left(`42`, `6`, '0')", "000042"),
        ("pad_right('ab', `3`)", "ab "),
        ("format('{}: {} {{{}}}', data.fields.Name, `2.50`, `true`)", "Ann: 2.5 {true}"),
        ("sha256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("hmac_sha256('abc', 'main')", "9946dad4e00e913fc8be8e5d3f7e110a4a9e832f83fb09c345285d78638d8a0e"),
        ("lookup('countries', data.fields.Country)", "Germany"),
        ("lookup('countries', `47`).name", "Norway"),
        ("lookup('countries', 'FR', 'elsewhere')", "elsewhere"),
        ("lookup('countries', 'FR', `null`)", None),
    ],
)
def test_texts_hashes_and_tables(expression: str, value: Any) -> None:
    """As their names say."""
    assert found(expression) == value


@pytest.mark.parametrize("call", ["upper({})", "add({}, `1`)", "date({})", "lookup('countries', {}, 'none')"])
def test_absent_argument_makes_an_absent_value_and_a_cleared_one_null(call: str) -> None:
    """As with JMESPath's own functions, a key of the body is left out, or says that the field was cleared."""
    assert found(call.format("data.fields.Missing")) is ABSENT
    assert found(call.format("data.fields.Note")) is None


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("add(data.fields.Name, `1`)", "add(): argument 1 (value) must be a number"),
        ("divide(`1`, data.fields.Odd)", "divide(): argument 2 (divisor) must be a number"),
        ("divide(`1`, subtract(data.fields.Amount, `19.99`))", "divide(): the divisor is 0"),
        ("multiply(data.fields.Zip, '1e98', '1e98')", "multiply(): the exact result has more than 50 digits"),
        ("upper(data.fields.Amount)", "upper(): argument 1 (text) must be a text, found a number"),
        ("date(data.fields.Name)", "date(): argument 1 (time) must look like 2025-01-31"),
        ("to_zone(time, data.fields.Name)", "to_zone(): argument 2 (zone) must be a time zone"),
        ("parse_date(data.fields.Name, '%Y')", "parse_date(): 'Ann' does not have the format '%Y'"),
        ("add_time('9999-12-31', data.fields.Amount, 'years')", "add_time(): only whole years can be added"),
        ("add_time('9999-12-31', data.fields.Zip, 'years')", "add_time(): the result is not between"),
        ("lookup('countries', data.fields.Name)", "lookup(): the table countries has no key 'Ann'"),
        ("substring('a', data.fields.Amount)", "substring(): argument 2 (start) must be a whole number"),
        ("replace(pad_left(data.fields.Name, `9999`), ' ', pad_left('x', `9999`))", "more than 1,000,000"),
    ],
)
def test_failure_names_the_function_and_the_argument(expression: str, sentence: str) -> None:
    """In the error of a dead letter."""
    with pytest.raises(BrokenRoute) as caught:
        found(expression)

    assert str(caught.value).startswith("body fails on this event: ")
    assert sentence in str(caught.value)


@given(
    st.sampled_from(sorted(FUNCTIONS.own)),
    st.lists(st.none() | st.booleans() | st.integers() | st.floats() | NUMBERS | st.text() | ODD_TEXTS),
)
def test_no_argument_makes_a_function_raise_anything_else(name: str, arguments: list[Any]) -> None:
    """Whatever an event holds, its error is a sentence."""
    try:
        FUNCTIONS.call_function(name, arguments)
    except FunctionFailed as error:
        assert str(error).startswith(f"{name}(")  # noqa: PT017 - there can be none
