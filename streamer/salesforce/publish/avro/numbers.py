"""Conversion of JSON numbers to Avro's, without a lost digit."""

import math
import re
from decimal import Decimal
from typing import Any

from streamer.salesforce.publish.avro.unfit import UnfitValue, found

_NUMBER = re.compile(r"[+-]?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,3})?", re.ASCII)
# Beyond every whole number of 64 bits, and long before a conversion takes time.
_MOST_DIGITS = 20
# Avro writes all places of a decimal number.
_MOST_PLACES = 1_000


def as_whole(value: Any, *, bits: int) -> int:
    """Return `value` as a whole number of `bits`; raises `UnfitValue`."""
    number = _number(value, "a whole number such as 12")
    if isinstance(number, Decimal) and number.adjusted() < _MOST_DIGITS and number == int(number):
        number = int(number)
    if isinstance(number, Decimal):
        raise UnfitValue("found a number with decimals, or one that is too large; must be a whole number")
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise UnfitValue(f"found a number that does not fit into {bits} bits; send a smaller one")
    return number


def as_double(value: Any) -> float:
    """Return `value` as a number of 64 bits that has all of its digits; raises `UnfitValue`."""
    number = _number(value, "a number such as 12.5")
    try:
        double = float(number)
    except OverflowError:
        double = math.inf
    if math.isinf(double):
        raise UnfitValue("found a number that is too large; send a smaller one")
    if Decimal(repr(double)) != number:
        raise UnfitValue(
            "found a number with more digits than the field can hold; round it to 15 digits, "
            "or send it in a text field"
        )
    return double


def as_decimal(value: Any) -> Decimal:
    """Return `value` as a decimal number; raises `UnfitValue`."""
    number = Decimal(_number(value, "a number such as 12.50"))
    if abs(number.adjusted()) >= _MOST_PLACES:
        raise UnfitValue("found a number that is too large or too small")
    return number


def _number(value: Any, wanted: str) -> int | Decimal:
    match value:
        case bool():
            pass
        case int():
            return value
        case Decimal() if value.is_finite():
            return value
        case float() if math.isfinite(value):
            return Decimal(repr(value))
        case str() if _NUMBER.fullmatch(value):
            return Decimal(value)
    raise UnfitValue(f"found {found(value)}; must be {wanted}")
