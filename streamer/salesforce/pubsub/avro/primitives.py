"""Readers of Avro's primitive types, of times, and of repeated values.

A reader takes the bytes of a datum and the index of a value, and returns the value
and the index after it. A reader raises `ValueError` for invalid bytes, and
`IndexError` if the bytes end too early.
"""

import struct
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from streamer.events import json_copy
from streamer.salesforce.pubsub.avro.definitions import Primitive

Reader = Callable[[bytes, int], tuple[Any, int]]

_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_LARGEST_DOUBLE = 1.7976931348623157e308
# If the highest bit of a byte is set, the number continues in the next byte.
_CONTINUED = 0x80
_LONG_BITS = 64
_LONGEST_LONG = 10


def read_null(_: bytes, at: int) -> tuple[None, int]:
    """Return `None`, which takes no bytes."""
    return None, at


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """Read a byte whose value is 0 or 1."""
    byte = data[at]
    if byte > 1:
        raise ValueError("a boolean that is neither true nor false")
    return byte == 1, at + 1


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read an int or a long: 7 bits per byte, lowest bits first, with the sign in the lowest bit."""
    byte = data[at]
    if byte < _CONTINUED:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = byte & 0x7F
    shift = 0
    rest = data[at + 1 : at + _LONGEST_LONG]
    for byte in rest:
        shift += 7
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUED:
            break
    else:
        if len(rest) + 1 < _LONGEST_LONG:
            raise IndexError
        raise ValueError("a number of more than 64 bits")
    if value >> _LONG_BITS:
        raise ValueError("a number of more than 64 bits")
    return (value >> 1) ^ -(value & 1), at + 1 + shift // 7


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Read a text: its length in bytes, then UTF-8."""
    length = data[at]
    # Nearly all lengths take one or two bytes, and are not negative.
    if not length & 0x81:
        length >>= 1
        at += 1
    elif not length & 1 and data[at + 1] < _CONTINUED:
        length = ((length & 0x7F) | data[at + 1] << 7) >> 1
        at += 2
    else:
        length, at = read_length(data, at)
    end = at + length
    text = data[at:end]
    if len(text) < length:
        raise IndexError
    return text.decode(), end


def read_bytes(data: bytes, at: int) -> tuple[str, int]:
    """Read bytes and return them as base64, because JSON has no bytes."""
    length, at = read_length(data, at)
    return fixed_reader(length)(data, at)


def read_double(data: bytes, at: int) -> tuple[float, int]:
    """Read a number of 8 bytes."""
    (value,) = _DOUBLE.unpack_from(data, at)
    if not -_LARGEST_DOUBLE <= value <= _LARGEST_DOUBLE:
        raise ValueError("a number that is not finite")
    return value, at + 8


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """Read a number of 4 bytes."""
    (value,) = _FLOAT.unpack_from(data, at)
    if not -_LARGEST_DOUBLE <= value <= _LARGEST_DOUBLE:
        raise ValueError("a number that is not finite")
    return value, at + 4


def fixed_reader(size: int) -> Reader:
    """Return the reader of `size` bytes; the reader returns base64."""

    def read(data: bytes, at: int) -> tuple[str, int]:
        end = at + size
        if end > len(data):
            raise IndexError
        return b64encode(data[at:end]).decode(), end

    return read


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length in bytes, and check that as many bytes follow."""
    length, at = read_long(data, at)
    if length < 0:
        raise ValueError("a negative length")
    if length > len(data) - at:
        raise IndexError
    return length, at


PRIMITIVE_READERS: dict[str, Reader] = {
    "null": read_null,
    "boolean": read_boolean,
    "int": read_long,
    "long": read_long,
    "float": read_float,
    "double": read_double,
    "bytes": read_bytes,
    "string": read_text,
}


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formatted without a zone, which is faster
_DAY_MS = 86_400_000
_SYSTEM_TIMES = frozenset({"CreatedDate", "LastModifiedDate"})
TimeText = Callable[[int], str]
"""Returns the text of a field's number. Raises `ValueError` for a time outside the years 1 to 9999."""


def date_time_of_ms(epoch_ms: int) -> str:
    """Return milliseconds since the epoch as `YYYY-MM-DDTHH:mm:ss.sssZ`."""
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{_whole_seconds(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4096)
def date_of_ms(epoch_ms: int) -> str:
    """Return the date of a time in milliseconds since the epoch as `YYYY-MM-DD`."""
    return _moment(epoch_ms // 1000).date().isoformat()


def stated_time(doc: str, *, name: str = "") -> TimeText | None:
    """Return the format of a field in milliseconds, as stated by its documentation or its `name`.

    `name` is the name of a field at the top of an event. The result is `None` if
    neither the documentation nor `name` states that the field is a time.
    """
    parts = doc.split(":")
    match parts[1].lower() if len(parts) > 1 else "":
        case "datetime":
            return date_time_of_ms
        case "date" | "dateonly":
            return date_of_ms
        case _:
            return date_time_of_ms if name in _SYSTEM_TIMES else None


def time_text(kind: Primitive, stated: TimeText | None) -> TimeText | None:
    """Return the format of the values of a type, or `None` for plain numbers.

    `stated` is the format of the field with this type. Avro's logical type gives
    the unit.
    """
    match kind.kind, kind.logical:
        case "int", "date":
            return _date_of_days
        case "long", "timestamp-micros" | "local-timestamp-micros":
            return _of_microseconds(stated or date_time_of_ms)
        case "long", "timestamp-millis" | "local-timestamp-millis":
            return stated or date_time_of_ms
        case "long", _:
            return stated
        case _:
            return None


def _date_of_days(days: int) -> str:
    return date_of_ms(days * _DAY_MS)


def _of_microseconds(text: TimeText) -> TimeText:
    def text_of(epoch_us: int) -> str:
        return text(epoch_us // 1000)

    return text_of


# Many consecutive events have the same second.
@lru_cache(maxsize=4096)
def _whole_seconds(seconds: int) -> str:
    return _moment(seconds).isoformat()


def _moment(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("a time outside of the years 1 to 9999") from error


# A schema stays in memory for a long time, and so do its last values.
_LONGEST_KEPT = 512


def repeating_reader(read: Reader) -> Reader:
    """Return a reader that calls `read` only if the bytes differ from the bytes of the last value.

    Equal bytes have equal values, and comparing bytes takes one step. Each event gets
    its own copies of lists and objects.
    """
    known, size = b"", 0
    value: Any = None
    is_owned = False

    def read_repeating(data: bytes, at: int) -> tuple[Any, int]:
        nonlocal known, size, value, is_owned
        if size and data.startswith(known, at):
            return (json_copy(value) if is_owned else value), at + size
        found, end = read(data, at)
        if end - at <= _LONGEST_KEPT:
            is_owned = isinstance(found, dict | list)
            known, size, value = data[at:end], end - at, json_copy(found)
        return found, end

    return read_repeating
