"""JSON Schemas of record types; the values are the events' own JSON.

Source: JSON Schema draft 7, which the registries and their clients understand.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

from streamer.events import JsonObject
from streamer.exact_json import exact_default
from streamer.log.kafka.schemas.avro import Written
from streamer.log.kafka.schemas.record_types import (
    FIELDS,
    NULL_FIELDS,
    OTHER_VALUES,
    FieldType,
    Kind,
    RecordField,
    RecordType,
    own_fields,
)

_DIALECT = "http://json-schema.org/draft-07/schema#"
_SIMPLE: Mapping[Kind, JsonObject] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.DOUBLE: {"type": "number"},
    Kind.DECIMAL: {"type": "number"},
    # JSON has all digits of a number.
    Kind.NUMERAL: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.TEXTS: {"type": "array", "items": {"type": "string"}},
    Kind.TEXT_MAP: {"type": "object", "additionalProperties": {"type": "string"}},
}
# A field can hold a diff of its text, or a text in place of a protected value.
_DIFF = {"type": "object", "properties": {"diff": {"type": "string"}}, "required": ["diff"]}


def json_schema(record: RecordType, undescribed: Iterable[str] = ()) -> str:
    """Return the schema of a record type as text; equal types have equal texts.

    Objects are closed, because registries accept a new property only in a closed
    object. `undescribed` has the paths of fields that the record type does not have.
    Their values can have any type.
    """
    fields = tuple(each for each in record.fields if each.name not in {NULL_FIELDS, OTHER_VALUES})
    described = _of_record(RecordType(name=record.name, fields=fields), is_of_entity=False)
    for path in undescribed:
        _add(described, path.split("."))
    return _written({"$schema": _DIALECT, "title": record.name, **described})


def following(schema: str, earlier: str) -> str:
    """Return `schema` with the properties that only `earlier` has.

    Without a property, a closed object could not read the values of earlier records.
    """
    return _written(_merged(orjson.loads(schema), orjson.loads(earlier)))


def _written(schema: JsonObject) -> str:
    return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode()


def _merged(schema: JsonObject, earlier: Any) -> JsonObject:
    former = _object_of(earlier).get("properties")
    own = _object_of(schema)
    if not isinstance(former, dict) or "properties" not in own:
        return schema
    for name, each in former.items():
        # A property without a type stays without: its values had any type.
        own["properties"][name] = (
            _merged(own["properties"][name], each) if each and name in own["properties"] else each
        )
    return schema


def _object_of(schema: Any) -> JsonObject:
    """Return the part of a schema that describes an object; empty without such a part."""
    choices = schema.get("anyOf", [schema]) if isinstance(schema, dict) else []
    return next((each for each in choices if isinstance(each, dict) and "additionalProperties" in each), {})


def _add(schema: JsonObject, path: Sequence[str]) -> None:
    properties = _object_of(schema).get("properties", {})
    if len(path) > 1 and path[0] in properties:
        _add(properties[path[0]], path[1:])
    else:
        properties.setdefault(path[0], {})


def _of_record(record: RecordType, *, is_of_entity: bool) -> JsonObject:
    properties = {each.name: _of_field(each, is_of_entity=is_of_entity) for each in record.fields}
    required = [each.name for each in record.fields if each.required]
    about: JsonObject = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**about, "required": required} if required else about


def _of_field(each: RecordField, *, is_of_entity: bool) -> JsonObject:
    if each.required:
        return _of_type(each.type, is_of_entity=each.name == FIELDS)
    choices: list[Any] = [{"type": "null"}, _of_type(each.type, is_of_entity=is_of_entity)]
    if is_of_entity and each.type.kind is Kind.TEXT:
        choices.append(_DIFF)
    elif each.type.record is None or each.type.kind is Kind.TEXT_OR_RECORD:
        choices.append({"type": "string"})
    return {"anyOf": choices}


def _of_type(kind: FieldType, *, is_of_entity: bool) -> JsonObject:
    return _SIMPLE[kind.kind] if kind.record is None else _of_record(kind.record, is_of_entity=is_of_entity)


class JsonWriter:
    """Writes records as JSON, and names the fields that the record type does not have."""

    def __init__(self, record: RecordType) -> None:
        self._places = [(name, _Known.of(own)) for name, own in own_fields(record).items()]

    def write(self, data: JsonObject) -> Written:
        """Return the JSON of `data`. Raises `TypeError` if JSON can't hold it."""
        unknown = self.unknown(data)
        return bytes(memoryview(orjson.dumps(data, default=exact_default))), unknown

    def unknown(self, data: JsonObject) -> list[str]:
        """Return the names of fields that the record type does not have. Raises `TypeError` as above."""
        unknown: list[str] = []
        for place, known in self._places:
            fields = data.get(place) if place else data
            if isinstance(fields, dict):
                unknown += known.others(fields, f"{place}." if place else "")
            elif place == FIELDS:
                raise TypeError(f"{FIELDS} is missing")
        return unknown


@dataclass(frozen=True, slots=True)
class _Known:
    """Names of a record's fields, and of the parts of those that are records."""

    names: frozenset[str]
    parts: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, record: RecordType) -> Self:
        records = {each.name: each.type.record for each in record.fields if each.type.record}
        parts = {name: frozenset(each.name for each in found.fields) for name, found in records.items()}
        return cls(frozenset(each.name for each in record.fields), parts)

    def others(self, fields: JsonObject, path: str) -> list[str]:
        unknown = [f"{path}{name}" for name in fields.keys() - self.names]
        for name in fields.keys() & self.parts.keys():
            if isinstance(value := fields[name], dict):
                unknown += [f"{path}{name}.{part}" for part in value.keys() - self.parts[name]]
        return unknown
