"""Values have the form in which events carry them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.normalise.record_events import value_of

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)
TYPES = ["boolean", "int", "long", "double", "currency", "percent", "datetime", "date", "string", "new"]


@pytest.mark.parametrize(
    ("data_type", "given_value", "wanted"),
    [
        ("boolean", True, True),
        ("boolean", "false", False),
        ("boolean", "TRUE", True),
        ("int", 7, 7),
        ("int", "7", 7),
        ("int", 7.0, 7),
        ("int", "-12.0", -12),
        ("double", 7, 7.0),
        ("double", "7", 7.0),
        ("currency", "12.50", 12.5),
        ("currency", "1.5E7", 15_000_000.0),
        ("double", "1.6147805824397E13", 16_147_805_824_397.0),
        ("int", "1.6147805824397E13", 16_147_805_824_397),
        ("long", "2.0E7", 20_000_000),
        ("double", "-1.0E-5", -0.00001),
        ("double", "1.23456789012345E7", 12_345_678.9012345),
        ("double", "1E308", 1e308),
        ("percent", "-0.1", -0.1),
        ("datetime", "2025-01-01T00:00:00.000+0000", "2025-01-01T00:00:00.000Z"),
        ("datetime", "2025-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
        ("datetime", "2025-01-01T02:00:00.017+02:00", "2025-01-01T00:00:00.017Z"),
        ("datetime", "1700-01-01T00:00:00Z", "1700-01-01T00:00:00.000Z"),
        ("date", "2025-01-01", "2025-01-01"),
        ("time", "14:30:00.000Z", "14:30:00.000Z"),
        ("multipicklist", "A;B", "A;B"),
        ("phone", "0150", "0150"),
        ("string", "true", "true"),
        ("new", ["A"], ["A"]),
        *((each, empty, None) for each in TYPES for empty in ("", None)),
    ],
)
def test_value_of_json_or_csv_is_that_of_an_event(data_type: str, given_value: Any, wanted: Any) -> None:
    """Its Python type is the same too, so that the log holds the same JSON."""
    value = value_of(data_type)(given_value)

    assert (value, type(value)) == (wanted, type(wanted))


@pytest.mark.parametrize("text", ["999999999999999999", "999999999999999999.00"])
def test_integer_that_no_double_holds_keeps_its_digits(text: str) -> None:
    """A currency has up to 18 of them."""
    assert value_of("currency")(text) == 999_999_999_999_999_999


@pytest.mark.parametrize(
    ("data_type", "given_value"),
    [
        ("boolean", "yes"),
        ("boolean", 1),
        ("int", "1.5"),
        ("int", True),
        ("int", "1e400"),
        ("int", "1.5E0"),
        ("double", "1E99999999999"),
        ("double", "twelve"),
        ("double", "nan"),
        ("double", "1" * 5_000),
        ("double", {}),
        ("datetime", "tomorrow"),
        ("datetime", 1_735_689_600_000),
        ("datetime", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_value_of_another_type_is_refused(data_type: str, given_value: Any) -> None:
    """A guess could overwrite a right value at a target."""
    with pytest.raises(ValueError, match=r"^not an? "):
        value_of(data_type)(given_value)


@given(st.sampled_from(TYPES), ANYTHING)
def test_any_value_is_converted_or_refused(data_type: str, given_value: Any) -> None:
    """Nothing else is raised."""
    with suppress(ValueError):
        value_of(data_type)(given_value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_survive_a_csv(number: float) -> None:
    """To the last bit."""
    assert value_of("double")(str(number)) == value_of("double")(number) == number
