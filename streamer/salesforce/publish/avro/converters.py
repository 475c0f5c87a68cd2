"""Converters of JSON values to the values that fastavro writes, made once for each schema."""

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from streamer.salesforce.publish.avro.numbers import as_decimal, as_double, as_whole
from streamer.salesforce.publish.avro.times import days_of_date, ms_of_date, ms_of_date_time
from streamer.salesforce.publish.avro.unfit import UnfitValue, found
from streamer.salesforce.pubsub.avro.definitions import (
    Array,
    AvroField,
    AvroFixed,
    AvroRecord,
    AvroType,
    Enumeration,
    Map,
    Primitive,
    Union,
    is_null,
)
from streamer.salesforce.pubsub.avro.times import date_of_ms, stated_time

Converter = Callable[[Any], Any]
"""Returns the value that fastavro writes for a JSON value; raises `UnfitValue`."""


def field_converter(field: AvroField, *, of_event: bool = False) -> Converter:
    """Return the converter of a field; the system fields among those `of_event` can be known by name."""
    stated = stated_time(field.doc, name=field.name if of_event else "")
    time = None if stated is None else ms_of_date if stated is date_of_ms else ms_of_date_time
    return _converter(field.type, time)


def record_converter(record: AvroRecord) -> Converter:
    """Return the converter of an object within an event; its missing members are null."""
    converters = {field.name: field_converter(field) for field in record.fields}

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise UnfitValue(f"found {found(value)}; must be an object")
        if unknown := value.keys() - converters.keys():
            names = ", ".join(converters)
            raise UnfitValue(f"{min(map(str, unknown))[:80]}: is not a member of the object; known: {names}")
        return {name: _within(name, each, value.get(name)) for name, each in converters.items()}

    return convert


def _within(name: str, convert: Converter, value: Any) -> Any:
    try:
        return convert(value)
    except UnfitValue as unfit:
        raise UnfitValue(f"{name}: {unfit}") from None


def _converter(kind: AvroType, time: Converter | None) -> Converter:
    match kind:
        case Primitive():
            return _primitive(kind, time)
        case Union():
            return _union(kind, time)
        case Enumeration():
            return _symbol(kind)
        case AvroRecord():
            return record_converter(kind)
        case Array() | Map():
            return _repeated(kind)
        case AvroFixed():
            return lambda value: _sized(_bytes(value), kind.size)


def _repeated(kind: Array | Map) -> Converter:
    if isinstance(kind, Array):
        return _list(_converter(kind.items, None))
    return _map(_converter(kind.values, None))


def _primitive(kind: Primitive, time: Converter | None) -> Converter:
    match kind.kind, kind.logical:
        case "int", "date":
            return days_of_date
        case "int", _:
            return partial(as_whole, bits=32)
        case "long", logical:
            return _long(logical or "", time)
        case "bytes", "decimal":
            return as_decimal
        case _:
            return _PLAIN[kind.kind]


def _long(logical: str, time: Converter | None) -> Converter:
    if logical.endswith("timestamp-micros"):
        return lambda value: 1000 * (time or ms_of_date_time)(value)
    if logical.endswith("timestamp-millis"):
        return time or ms_of_date_time
    return time or partial(as_whole, bits=64)


def _union(kind: Union, time: Converter | None) -> Converter:
    takes_null = any(map(is_null, kind.branches))
    branches = [(_name(each), _converter(each, time)) for each in kind.branches if not is_null(each)]

    def convert(value: Any) -> Any:
        if value is None and takes_null:
            return None
        refusals = []
        for name, as_branch in branches:
            try:
                converted = as_branch(value)
            except UnfitValue as unfit:
                refusals.append(str(unfit))
            else:
                # The name spares fastavro the search for the branch.
                return (name, converted) if name else converted
        raise UnfitValue(" or ".join(refusals) or "must be null")

    return convert


def _name(branch: AvroType) -> str:
    return branch.kind if isinstance(branch, Primitive) else ""


def _symbol(kind: Enumeration) -> Converter:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value not in kind.symbols:
            raise UnfitValue(f"found {found(value)}; must be one of {', '.join(kind.symbols)}")
        return value

    return convert


def _list(convert_item: Converter) -> Converter:
    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise UnfitValue(f"found {found(value)}; must be a list")
        return [_within(str(index), convert_item, item) for index, item in enumerate(value)]

    return convert


def _map(convert_value: Converter) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise UnfitValue(f"found {found(value)}; must be an object")
        return {_text(name): _within(str(name), convert_value, item) for name, item in value.items()}

    return convert


def _null(value: Any) -> None:
    if value is not None:
        raise UnfitValue(f"found {found(value)}; must be null")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnfitValue(f"found {found(value)}; must be true or false, without quotes")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitValue(
            f"found {found(value)}; must be a text: put it in quotes, or in to_string() in a body"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnfitValue("found a text with half a character; send valid Unicode") from error
    return value


def _bytes(value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise UnfitValue(f"found {found(value)}; must be a text in base64")


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise UnfitValue(f"found {len(value)} bytes; must be {size} in base64")
    return value


_PLAIN: Mapping[str, Converter] = {
    "null": _null,
    "boolean": _boolean,
    "float": as_double,
    "double": as_double,
    "bytes": _bytes,
    "string": _text,
}
