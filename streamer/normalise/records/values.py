"""Values of a record's fields, in the form in which change events carry them.

REST answers with JSON, Bulk API 2.0 with CSV, in which every value is text and
an empty one is null. The type that a describe gives to the field tells the rest,
so that one function reads both.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from streamer.exact_json import exact_number

FieldValue = Callable[[Any], Any]
"""Returns the value of a field, given as JSON or as the text of a CSV; raises `ValueError`."""

Number = float | int | Decimal

# Up to here a float holds every integer.
_MOST_EXACT = 2**53
_LONGEST_NUMBER = 64
_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0*)?", re.ASCII)


def value_of(data_type: str) -> FieldValue:
    """Return the function for the fields of a data type, by its name in a describe.

    A value without a form of its own, such as a picklist, a date or a time of day,
    stays as it is, and so do values of unknown types.
    """
    return _BY_TYPE.get(data_type, _as_it_is)


def _as_it_is(value: Any) -> Any:
    return None if value == "" else value


def _boolean(value: Any) -> bool | None:
    match value:
        case bool() | None:
            return value
        case "":
            return None
        case str() if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        case _:
            raise ValueError("no boolean")


def _integer(value: Any) -> int | None:
    number = _number(value)
    if isinstance(number, float | Decimal):
        if number != int(number):
            raise ValueError("no integer")
        return int(number)
    return number


def _decimal(value: Any) -> Number | None:
    """Return a number as the double that events carry; one that no double holds keeps its digits."""
    number = _number(value)
    if isinstance(number, int) and abs(number) <= _MOST_EXACT:
        return float(number)
    return number


def _number(value: Any) -> Number | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _number_of_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return value
    raise ValueError("no number")


def _number_of_text(text: str) -> Number:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("no number")
    if _INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    try:
        number = exact_number(text)
    except ValueError:
        raise ValueError("no number") from None
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def date_time(value: Any) -> str | None:
    """Return a date-time (`…+0000` of REST, `…Z` of Bulk) as change events write it, in UTC with a `Z`."""
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("no date-time") from None
    return f"{aware.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


_BY_TYPE: dict[str, FieldValue] = {
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "double": _decimal,
    "currency": _decimal,
    "percent": _decimal,
    "datetime": date_time,
}
