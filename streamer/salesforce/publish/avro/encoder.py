"""Encoder of platform events, compiled once for each schema."""

import difflib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fastavro
import orjson

from streamer.salesforce.publish.avro.converters import field_converter
from streamer.salesforce.publish.avro.unfit import UnfitValue
from streamer.salesforce.pubsub.avro.definitions import Union, UnusableSchema, is_null
from streamer.salesforce.pubsub.avro.parser import parse_record

_MOST_NAMES = 20
_LONGEST_NAME = 80


class FieldRefused(Exception):
    """The schema does not take an event: the message names the field, and says what to send."""


class DatumEncoder:
    """Encodes events of one schema to binary Avro, each as one datum without a container."""

    def __init__(self, schema_id: str, schema_json: str) -> None:
        """Compile a schema; raises `UnusableSchema`, as `parse_record` does."""
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
            # fastavro raises what it likes.
            raise UnusableSchema(f"fastavro can't use it: {type(error).__name__}") from error

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Return the datum of an event whose `fields` are JSON values; a missing one is null.

        Raises `FieldRefused`.
        """
        if unknown := fields.keys() - self._converters.keys():
            raise FieldRefused(self._unknown(min(map(str, unknown))))
        values = {name: self._converted(name, fields) for name in self._converters}
        stream = BytesIO()
        try:
            fastavro.schemaless_writer(stream, self._schema, values)
        except Exception as error:
            # Values that the converters let pass, such as decimals beyond the scale of the schema.
            raise FieldRefused(f"{self._unwritable(values)}: can't be encoded: {error}"[:500]) from error
        return stream.getvalue()

    def _converted(self, name: str, fields: Mapping[str, Any]) -> Any:
        value = fields.get(name)
        if value is None and name in self._required:
            raise FieldRefused(f"{name}: is missing; the event needs it")
        try:
            return self._converters[name](value)
        except UnfitValue as unfit:
            raise FieldRefused(f"{name}: {unfit}") from unfit

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._converters, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join([*self._converters][:_MOST_NAMES])
        return f"{name[:_LONGEST_NAME]}: {self.name} has no such field; {hint}known: {known}"

    def _unwritable(self, values: Mapping[str, Any]) -> str:
        """Return the name of the first field that fastavro does not write."""
        for field in self._schema["fields"]:
            try:
                fastavro.schemaless_writer(BytesIO(), field["type"], values[field["name"]])
            except Exception:  # noqa: BLE001 - fastavro raises what it likes
                return str(field["name"])
        return self.name
