"""Writers of values in Avro's binary encoding, each with the branch of an optional field.

Source: Avro 1.11 specification, binary encoding and logical types.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from streamer.events import JsonObject
from streamer.log.kafka.schemas.record_types import FieldType, Kind

WriteValue = Callable[[Any], bytes | None]
"""Writes a value of the right Python type with its branch; returns `None` for a value of another form."""


class InexactNumber(ValueError):
    """The type of a field can't hold all digits of a number; the message has the remedy."""


FEW = 64
# Lengths of short texts, and what is before the length of a long text.
LENGTHS = [*(bytes((2 * size,)) for size in range(FEW)), b""]
TEXT_LENGTHS = [b"\x02" + size for size in LENGTHS]


def write_long(value: int) -> bytes:
    """Return a long as a zigzag varint."""
    coded = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while coded > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    out.append(coded)
    return bytes(out)


def _text(value: str) -> bytes:
    encoded = value.encode()
    size = len(encoded)
    return (LENGTHS[size] if size < FEW else write_long(size)) + encoded


# Lists of texts contain names of fields, which repeat.
_name = lru_cache(maxsize=8192)(_text)


def write_items(values: Sequence[str]) -> bytes:
    """Return a list of texts, without a branch."""
    if not values:
        return b"\x00"
    return b"".join([write_long(len(values)), *map(_name, values), b"\x00"])


def write_entries(values: Mapping[str, str]) -> bytes:
    """Return a map of texts, without a branch."""
    if not values:
        return b"\x00"
    return b"".join(
        [write_long(len(values)), *(_text(name) + _text(values[name]) for name in values), b"\x00"]
    )


def _write_texts(value: list[Any]) -> bytes | None:
    if not value:
        return b"\x02\x00"
    try:
        return _named(tuple(value))
    except (AttributeError, TypeError):
        return None


# The same fields change again and again.
@lru_cache(maxsize=4096)
def _named(names: tuple[str, ...]) -> bytes:
    return b"\x02" + write_items(names)


def _write_text_map(value: JsonObject) -> bytes | None:
    if any(type(each) is not str for each in value.values()):
        return None
    return b"\x02" + write_entries(value)


_LEAST, _MOST = -(2**63), 2**63 - 1


# Numbers of employees or of a sequence are small, and repeat.
@lru_cache(maxsize=8192)
def _write_integer(value: int) -> bytes:
    if not _LEAST <= value <= _MOST:
        raise InexactNumber(f"the number {value} has more than 64 bits")
    return b"\x02" + write_long(value)


def _write_whole(value: float) -> bytes | None:
    return _write_integer(int(value)) if value.is_integer() else None


DOUBLE = struct.Struct("<Bd")
_REMEDY = "set log.kafka.schema_registry.numbers to decimal or string"


def write_double(value: int | Decimal) -> bytes:
    """Return a number as a double; raises `InexactNumber` if a double would lose a digit."""
    try:
        near = float(value)
    except OverflowError:
        near = float("nan")
    if near != value and Decimal(repr(near)) != value:
        raise InexactNumber(f"a double can't hold all digits of {value}: {_REMEDY}")
    return DOUBLE.pack(2, near)


def _write_numeral(value: float | Decimal) -> bytes:
    return b"\x02" + _text(repr(value) if type(value) is float else str(value))


def decimal_writers(kind: FieldType) -> Mapping[type, WriteValue]:
    """Return the writers of decimals with the precision and the scale of `kind`."""
    precision, scale = kind.precision, kind.scale

    def write(value: int | float | Decimal) -> bytes | None:  # noqa: PYI041 - as the dictionary has them
        exact = Decimal(repr(value)) if type(value) is float else Decimal(value)
        sign, digits, exponent = exact.as_tuple()
        if not isinstance(exponent, int):
            return None
        unscaled = _unscaled(digits, exponent + scale)
        if unscaled is None or unscaled >= 10**precision:
            raise InexactNumber(
                f"a decimal with precision {precision} and scale {scale} can't hold {value}: "
                "set log.kafka.schema_registry.numbers to string"
            )
        number = -unscaled if sign else unscaled
        encoded = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
        return b"\x02" + write_long(len(encoded)) + encoded

    return dict.fromkeys((int, float, Decimal), write)


def _unscaled(digits: Sequence[int], shift: int) -> int | None:
    """Return the digits times ten to the power of `shift`, or `None` if the result has a fraction."""
    number = int("".join(map(str, digits)))
    if shift >= 0:
        return number * 10**shift if shift <= FEW or not number else None
    whole, rest = divmod(number, 10 ** min(-shift, FEW))
    return whole if not rest else None


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - the type checker knows the constant
_FIRST_DAY = date(1970, 1, 1).toordinal()
_MILLISECOND = timedelta(milliseconds=1)


def timestamp_text(milliseconds: int) -> str:
    """Return the text of a time in an event. Raises `OverflowError` outside of the years 1 to 9999."""
    moment = _EPOCH + milliseconds * _MILLISECOND
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def date_text(days: int) -> str:
    """Return the text of a date in an event. Raises `OverflowError` or `ValueError` as above."""
    return date.fromordinal(_FIRST_DAY + days).isoformat()


# Consecutive changes often have the same time, and so do the fields of a record.
@lru_cache(maxsize=4096)
def _timestamp(text: str) -> bytes | None:
    try:
        milliseconds = (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
        # Only this form is decoded to the same text.
        return b"\x02" + write_long(milliseconds) if timestamp_text(milliseconds) == text else None
    except (ValueError, TypeError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def _date(text: str) -> bytes | None:
    try:
        days = date.fromisoformat(text).toordinal() - _FIRST_DAY
        return b"\x02" + write_long(days) if date_text(days) == text else None
    except ValueError:
        return None


# By the kind of the field and the type of the value.
WRITERS: Mapping[Kind, Mapping[type, WriteValue]] = {
    Kind.TEXT: {},
    Kind.NUMERAL: dict.fromkeys((int, float, Decimal), _write_numeral),
    Kind.INTEGER: {int: _write_integer, float: _write_whole},
    # A function of the library itself costs less than one of ours.
    Kind.DOUBLE: {float: partial(DOUBLE.pack, 2), int: write_double, Decimal: write_double},
    Kind.BOOLEAN: {bool: {True: b"\x02\x01", False: b"\x02\x00"}.__getitem__},
    Kind.DATE: {str: _date},
    Kind.TIMESTAMP: {str: _timestamp},
    Kind.TEXTS: {list: _write_texts},
    Kind.TEXT_MAP: {dict: _write_text_map},
}
WITH_ERRORS = (_write_integer, write_double)
