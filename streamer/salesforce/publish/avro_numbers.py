"""Conversion of JSON numbers, dates and times to Avro's; a value that does not fit exactly is refused."""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from streamer.salesforce.pubsub.avro.primitives import date_time_of_ms


class UnfitValue(ValueError):
    """A field does not accept a value; the message names the value found and the value to send."""


def found(value: Any) -> str:
    """Return words for the kind of a JSON value, such as `a text`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = (word for kinds, word in _KINDS if isinstance(value, kinds))
    return next(kinds, f"a {type(value).__name__}")


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    ((int, float, Decimal), "a number"),
    (str, "a text"),
    ((list, tuple), "a list"),
    (dict, "an object"),
)


_NUMBER = re.compile(r"[+-]?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,3})?", re.ASCII)
# More digits than any 64-bit number has, but few enough for a fast conversion.
_MOST_DIGITS = 20
# Avro writes every digit of a decimal number.
_MOST_PLACES = 1_000


def as_whole(value: Any, *, bits: int) -> int:
    """Return `value` as a whole number of `bits`. Raises `UnfitValue`."""
    number = _number(value, "a whole number such as 12")
    if isinstance(number, Decimal) and number.adjusted() < _MOST_DIGITS and number == int(number):
        number = int(number)
    if isinstance(number, Decimal):
        raise UnfitValue("found a number with decimals or a number that is too large; must be a whole number")
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise UnfitValue(f"found a number that does not fit into {bits} bits; send a smaller number")
    return number


def as_double(value: Any) -> float:
    """Return `value` as a 64-bit number that keeps all its digits. Raises `UnfitValue`."""
    number = _number(value, "a number such as 12.5")
    try:
        double = float(number)
    except OverflowError:
        double = math.inf
    if math.isinf(double):
        raise UnfitValue("found a number that is too large; send a smaller number")
    if Decimal(repr(double)) != number:
        raise UnfitValue(
            "found a number with more digits than the field can hold; round the number to 15 digits, "
            "or use a text field"
        )
    return double


def as_decimal(value: Any) -> Decimal:
    """Return `value` as a decimal number. Raises `UnfitValue`."""
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MS = timedelta(milliseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?.*", re.ASCII)
_WANTED = "must be a date-time with an offset from UTC, such as 2025-01-31T12:00:00Z"
_WANTED_DATE = "must be a date, such as 2025-01-31"


def ms_of_date_time(value: Any) -> int:
    """Return a date-time as milliseconds since the epoch, rounded down. Raises `UnfitValue`.

    `value` is a text in ISO 8601 with an offset, or already a number of milliseconds.
    """
    if type(value) is int:
        return _within_calendar(value)
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise UnfitValue(f"found {found(value)}; {_WANTED}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise UnfitValue(f"found a text that is not a date-time; {_WANTED}") from error
    if moment.tzinfo is None:
        raise UnfitValue(f"found a date-time without an offset from UTC; {_WANTED}")
    # A difference of two times with offsets can't leave the calendar; a conversion to UTC can.
    return (moment - _EPOCH) // _MS


def ms_of_date(value: Any) -> int:
    """Return midnight UTC of a date `YYYY-MM-DD` in milliseconds. Raises `UnfitValue`.

    `value` can also be that number of milliseconds.
    """
    if type(value) is int:
        if value % _DAY_MS:
            raise UnfitValue(f"found a number of milliseconds that is not midnight in UTC; {_WANTED_DATE}")
        return _within_calendar(value)
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise UnfitValue(f"found {found(value)}; {_WANTED_DATE}")
    try:
        return (datetime.fromisoformat(value).replace(tzinfo=UTC) - _EPOCH) // _MS
    except ValueError as error:
        raise UnfitValue(f"found a date that does not exist; {_WANTED_DATE}") from error


def days_of_date(value: Any) -> int:
    """Return a date as days since the epoch. Raises `UnfitValue`."""
    return ms_of_date(value) // _DAY_MS


def _within_calendar(epoch_ms: int) -> int:
    try:
        date_time_of_ms(epoch_ms)
    except ValueError as error:
        raise UnfitValue(f"found {error}; send milliseconds since 1970") from error
    return epoch_ms
