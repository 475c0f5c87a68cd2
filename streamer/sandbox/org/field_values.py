"""Field values: checked and stored on writing, and converted for the REST API."""

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field

_DECIMALS = frozenset({"double", "currency", "percent"})
_NUMBERS = _DECIMALS | {"int"}
# Largest whole number up to which a float is exact.
_EXACT = 1 << 53
_MS = len(".000Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def epoch_ms(epoch_s: float) -> int:
    """Return a time in whole milliseconds, rounded down."""
    # In microseconds first: 1.517 s times a thousand is less than 1517.
    return round(epoch_s * 1_000_000) // 1000


def timestamp(epoch_s: float) -> str:
    """Return a time in the form of change events: UTC with milliseconds and a `Z`."""
    seconds, ms = divmod(epoch_ms(epoch_s), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def whole_seconds(epoch_s: float) -> str:
    """Return a time in the form of records: whole seconds, with the milliseconds `.000`."""
    return timestamp(float(int(epoch_s)))


def recorded_value(field: Field, value: Any) -> Any:
    """Return a stored value in the form of records, which have no fractions of a second."""
    return f"{value[:-_MS]}.000Z" if field.type == "datetime" and value is not None else value


def event_value(field: Field, value: Any) -> Any:
    """Return a stored value in the form of events: a number of a decimal type has at least one decimal."""
    is_exact = field.type in _DECIMALS and type(value) is int and abs(value) <= _EXACT
    return float(value) if is_exact else value


def stored_value(field: Field, value: Any) -> Any:
    """Return `value` as the org stores it; an empty text becomes null, and digits become a number.

    Raises `Refused` if the type of the field does not allow the value.
    """
    if value is None or value == "":
        return None
    if field.type == "boolean" and isinstance(value, bool):
        return value
    if field.type in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if field.type in _NUMBERS and isinstance(value, str):
        return _number(field, value)
    if field.type in _NUMBERS or field.type == "boolean" or not isinstance(value, str):
        raise _unreadable(field, value)
    return _stored_text(field, value)


def from_path(field: Field | None, text: str) -> str | float:
    """Return a value from a URL path, converted to the type of its field."""
    if field is None or field.type not in _NUMBERS:
        return text
    return _number(field, text)


def rest_value(field: Field | None, value: Any) -> Any:
    """Return a stored value as the REST API writes it.

    Times have an offset instead of `Z`, and numbers of a decimal type have at least one
    decimal.
    """
    if field is None:
        return value
    if field.type == "datetime" and isinstance(value, str):
        return value.removesuffix("Z") + "+0000"
    if field.type in _DECIMALS and isinstance(value, int):
        return float(value)
    if field.type == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _number(field: Field, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise _unreadable(field, text) from error
    if not isfinite(number):
        raise _unreadable(field, text)
    return int(number) if field.type == "int" else number


def _stored_text(field: Field, value: str) -> str:
    match field.type:
        case "datetime":
            return parse_time(field, value)
        case "date":
            if _DATE.match(value) is None:
                raise _unreadable(field, value)
            return value[:10]
        case "reference":
            record_id = normal_id(value)
            if record_id is None:
                message = f"{field.name}: id value of incorrect type: {value}"
                raise Refused("MALFORMED_ID", message, fields=[field.name])
            return record_id
        case _:
            return value


def parse_time(field: Field, value: str) -> str:
    """Return an ISO 8601 time as the org stores it; a time without an offset is in UTC."""
    try:
        moment = datetime.fromisoformat(value)
        return timestamp((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise _unreadable(field, value) from error


def _unreadable(field: Field, value: Any) -> Refused:
    kinds = {bool: "VALUE_BOOLEAN", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
    found = kinds.get(type(value), "START_OBJECT")
    message = f"Cannot deserialize instance of {field.type} from {found} value {str(value)[:80]}"
    return Refused("JSON_PARSER_ERROR", message, fields=[field.name])
