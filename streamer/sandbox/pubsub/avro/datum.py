"""Avro encoding of events: one datum for each event, without a container.

The format is the binary encoding of the Apache Avro specification. Many events are
encoded with one schema, so the functions of a schema are made only once, and an absent
field costs nothing.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from streamer.sandbox.org.definitions.avro import Avro

Encode = Callable[[Any], bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_NULL, _PRESENT = b"\x00", b"\x02"
_ONE_BYTE = tuple(bytes([number]) for number in range(0x80))
_SHORT = 0x40
_DOUBLE = struct.Struct("<d")


class NotEncodable(ValueError):
    """A value does not fit its Avro type."""


def encoder(schema: Avro) -> Encode:
    """Return the function that encodes values of `schema`, and raises `NotEncodable` for other values.

    A field that the value lacks is null. A `long` also accepts a date or a time as
    text, and encodes it in milliseconds since the epoch. A `string` also accepts the
    `{"diff": …}` of a long text.
    """
    encode = _encoder(schema, {})

    def checked(value: Any) -> bytes:
        try:
            return encode(value)
        except NotEncodable:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotEncodable(f"{type(error).__name__}: {error}") from error

    return checked


def _encoder(kind: Any, named: dict[str, Encode]) -> Encode:
    if isinstance(kind, list):
        return _optional(kind, named)
    if isinstance(kind, str):
        return _PRIMITIVES.get(kind) or named[kind]
    match kind["type"]:
        case "record":
            return _Record(kind, named)
        case "enum":
            indexes = {symbol: _int(index) for index, symbol in enumerate(kind["symbols"])}
            return indexes.__getitem__
        case "array":
            return _array(_encoder(kind["items"], named))
        case primitive:
            return _encoder(primitive, named)


class _Record:
    """Encoder of a record."""

    def __init__(self, schema: Avro, named: dict[str, Encode]) -> None:
        named[schema["name"]] = self
        self._fields: dict[str, tuple[int, Encode]] = {}
        # No value has an empty encoding, so empty bytes mark a required field.
        self._absent: list[bytes] = []
        for index, field in enumerate(schema["fields"]):
            self._fields[field["name"]] = (index, _encoder(field["type"], named))
            self._absent.append(_NULL if isinstance(field["type"], list) else b"")

    def __call__(self, values: Mapping[str, Any]) -> bytes:
        parts = self._absent.copy()
        fields = self._fields
        for name, value in values.items():
            index, encode = fields[name]
            parts[index] = encode(value)
        if b"" in parts:
            raise NotEncodable("a required field has no value")
        return b"".join(parts)


def _optional(kinds: list[Any], named: dict[str, Encode]) -> Encode:
    null, kind = kinds
    if null != "null":
        raise ValueError(f"a union must consist of null and one other type, but consists of {kinds}")
    encode = _encoder(kind, named)

    def optional(value: Any) -> bytes:
        return _NULL if value is None else _PRESENT + encode(value)

    return optional


def _array(encode: Encode) -> Encode:
    def array(values: Any) -> bytes:
        if not isinstance(values, list | tuple):
            raise NotEncodable("an array must be a list")
        if not values:
            return _NULL
        return b"".join([_long(len(values)), *map(encode, values), _NULL])

    return array


def _long(value: Any) -> bytes:
    if type(value) is not int:
        if isinstance(value, str):
            return _time(value)
        if not isinstance(value, float) or not value.is_integer():
            raise NotEncodable("not a whole number")
        value = int(value)
    if not -(2**63) <= value < 2**63:
        raise NotEncodable("a number of more than 64 bits")
    zigzag: int = (value << 1) ^ (value >> 63)
    if zigzag < len(_ONE_BYTE):
        return _ONE_BYTE[zigzag]
    encoded = bytearray()
    while zigzag >= len(_ONE_BYTE):
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)


def _int(value: Any) -> bytes:
    if isinstance(value, str) or not -(2**31) <= value < 2**31:
        raise NotEncodable("not a whole number of 32 bits")
    return _long(value)


@lru_cache(maxsize=4096)
def _time(text: str) -> bytes:
    moment = datetime.fromisoformat(text)
    return _long(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS)


def _string(value: Any) -> bytes:
    encoded: bytes = (value["diff"] if isinstance(value, dict) else value).encode()
    length = len(encoded)
    return (_ONE_BYTE[2 * length] if length < _SHORT else _long(length)) + encoded


def _double(value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotEncodable("not a number")
    return _DOUBLE.pack(value)


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise NotEncodable("neither true nor false")
    return b"\x01" if value else _NULL


_PRIMITIVES: Mapping[str, Encode] = {
    "string": _string,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "double": _double,
}
