"""Numbers in JSON text that keep their digits as written."""

import json
from decimal import Decimal
from typing import Any, Self

import orjson

from streamer.exact_json import exact_number

# No integer of 64 bits is longer.
_LONGEST_INTEGER = 20
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1
# Above it, the shortest digits of a float are not those of its value.
_MOST_EXACT = 2**53
# Beyond a float, digits without an exponent could be without end.
_MOST_EXPONENT = 400


class ExactNumber(float):
    """A number that a float would write with other digits than `text`.

    As a key it equals the value that is read without rules (`exact_value`).
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number that `text` is in JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        """Return the digits that the number has where no rule applies."""
        return str(exact_number(self.text))


def exact_tree(text: str) -> Any:
    """Return the value of a JSON text, with an `ExactNumber` where another number would lose digits.

    Raises `ValueError` for invalid JSON, and `RecursionError` for JSON that is
    nested too deeply.
    """
    return json.loads(text, parse_float=_decimal, parse_int=_integer)


def exact_text(value: Any) -> str:
    """Return a value of `exact_tree` as JSON, in which each number has its digits."""
    return orjson.dumps(value, default=_as_written).decode()


def plain_digits(number: str) -> str:
    """Return a number without exponent and needless point or zeros; the same for equal numbers.

    A number that no float can hold keeps an exponent.
    """
    value = Decimal(number)
    if not value:
        return "0"
    if abs(value.adjusted()) > _MOST_EXPONENT:
        sign, digits, exponent = value.as_tuple()
        whole = "".join(map(str, digits))
        kept = whole.rstrip("0")
        return f"{'-' * sign}{kept}E{int(exponent) + len(whole) - len(kept)}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def float_digits(number: float) -> str:
    """Return a float as `plain_digits` of an equal integer, or of the shortest number that stands for it.

    Integers that are read are never as large as the largest floats, so such a float
    stands for a number in digits: `1e23` is a one with 23 zeros, which no float
    equals.
    """
    if number.is_integer() and _LEAST_INTEGER <= number <= _MOST_INTEGER:
        return str(int(number))
    return plain_digits(repr(number))


def _decimal(text: str) -> float:
    number = float(text)
    return number if repr(number) == text and abs(number) <= _MOST_EXACT else ExactNumber(text)


def _integer(text: str) -> int | float:
    if len(text) <= _LONGEST_INTEGER and _LEAST_INTEGER <= int(text) <= _MOST_INTEGER:
        return int(text)
    return ExactNumber(text)


def _as_written(value: object) -> Any:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"a {type(value).__name__} is no JSON")
