"""Encoder of platform events in binary Avro, and the converters that each schema needs."""

import base64
import binascii
import difflib
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import Any

import fastavro
import orjson

from streamer.salesforce.publish.avro_numbers import (
    UnfitValue,
    as_decimal,
    as_double,
    as_whole,
    days_of_date,
    found,
    ms_of_date,
    ms_of_date_time,
)
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
    UnusableSchema,
    is_null,
)
from streamer.salesforce.pubsub.avro.parser import parse_record
from streamer.salesforce.pubsub.avro.primitives import date_of_ms, stated_time

Converter = Callable[[Any], Any]
"""Returns the value that fastavro writes for a JSON value. Raises `UnfitValue`."""


def field_converter(field: AvroField, *, of_event: bool = False) -> Converter:
    """Return the converter of a field.

    With `of_event`, the field belongs to an event, and a system field is also
    recognised by its name.
    """
    stated = stated_time(field.doc, name=field.name if of_event else "")
    time = None if stated is None else ms_of_date if stated is date_of_ms else ms_of_date_time
    return _converter(field.type, time)


def record_converter(record: AvroRecord) -> Converter:
    """Return the converter of an object within an event; missing members become null."""
    converters = {field.name: field_converter(field) for field in record.fields}

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise UnfitValue(f"found {found(value)}; must be an object")
        if unknown := value.keys() - converters.keys():
            names = ", ".join(converters)
            raise UnfitValue(
                f"{min(map(str, unknown))[:80]}: is not a member of the object; known members: {names}"
            )
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
                # With the name, fastavro need not search for the branch.
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
            f"found {found(value)}; must be a text: put the value in quotes, or use to_string() in a body"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnfitValue("found a text with an incomplete character; send valid Unicode") from error
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
        raise UnfitValue(f"found {len(value)} bytes; must be {size} bytes, in base64")
    return value


_PLAIN: Mapping[str, Converter] = {
    "null": _null,
    "boolean": _boolean,
    "float": as_double,
    "double": as_double,
    "bytes": _bytes,
    "string": _text,
}


_MOST_NAMES = 20
_LONGEST_NAME = 80


class FieldRefused(Exception):
    """The schema does not accept an event; the message names the field and says what to send."""


class DatumEncoder:
    """Encodes events of one schema in binary Avro, each as one datum without a container."""

    def __init__(self, schema_id: str, schema_json: str) -> None:
        """Compile a schema. Raises `UnusableSchema`, as `parse_record` does."""
        record = parse_record(schema_json)
        self.schema_id = schema_id
        self.name = record.name
        self._converters = {field.name: field_converter(field, of_event=True) for field in record.fields}
        self._required = {
            field.name
            for field in record.fields
            if not (isinstance(field.type, Union) and any(map(is_null, field.type.branches)))
        }
        try:
            self._schema: Any = fastavro.parse_schema(orjson.loads(schema_json))
        except Exception as error:
            # fastavro can raise any exception.
            raise UnusableSchema(f"fastavro can't use the schema: {type(error).__name__}") from error

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Return the datum of an event whose `fields` are JSON values; missing fields are null.

        Raises `FieldRefused`.
        """
        if unknown := fields.keys() - self._converters.keys():
            raise FieldRefused(self._unknown(min(map(str, unknown))))
        values = {name: self._converted(name, fields) for name in self._converters}
        stream = BytesIO()
        try:
            fastavro.schemaless_writer(stream, self._schema, values)
        except Exception as error:
            # The converters let some values pass, such as decimals beyond the scale of the schema.
            raise FieldRefused(f"{self._unwritable(values)}: can't be encoded: {error}"[:500]) from error
        return stream.getvalue()

    def _converted(self, name: str, fields: Mapping[str, Any]) -> Any:
        value = fields.get(name)
        if value is None and name in self._required:
            raise FieldRefused(f"{name}: is missing; the event needs this field")
        try:
            return self._converters[name](value)
        except UnfitValue as unfit:
            raise FieldRefused(f"{name}: {unfit}") from unfit

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._converters, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join([*self._converters][:_MOST_NAMES])
        return f"{name[:_LONGEST_NAME]}: {self.name} has no such field; {hint}known fields: {known}"

    def _unwritable(self, values: Mapping[str, Any]) -> str:
        """Return the name of the first field that fastavro can't write."""
        for field in self._schema["fields"]:
            try:
                fastavro.schemaless_writer(BytesIO(), field["type"], values[field["name"]])
            except Exception:  # noqa: BLE001 - fastavro can raise any exception
                return str(field["name"])
        return self.name
