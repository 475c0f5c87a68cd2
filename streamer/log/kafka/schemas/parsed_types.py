"""Types of an entity's fields, read from a registered schema of its events or states.

A process that keeps states has no login to Salesforce. It takes the types from the
schema that the ingest process has registered. A field with a type that Streamer does
not write is left out, so its values are among the other values.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.log.kafka.schemas.avro_schema import NUMERAL
from streamer.log.kafka.schemas.record_types import (
    AFTER,
    FIELDS,
    FieldType,
    Kind,
    RecordField,
    RecordType,
    is_own,
)
from streamer.log.kafka.schemas.registry import SchemaText

_AVRO: Mapping[Any, Kind] = {
    "string": Kind.TEXT,
    "long": Kind.INTEGER,
    "double": Kind.DOUBLE,
    "boolean": Kind.BOOLEAN,
}
_AVRO_LOGICAL: Mapping[Any, Kind] = {"date": Kind.DATE, "timestamp-millis": Kind.TIMESTAMP}
_JSON: Mapping[Any, Kind] = {
    ("string", None): Kind.TEXT,
    ("integer", None): Kind.INTEGER,
    ("number", None): Kind.DOUBLE,
    ("boolean", None): Kind.BOOLEAN,
    ("string", "date"): Kind.DATE,
    ("string", "date-time"): Kind.TIMESTAMP,
    ("array", None): Kind.TEXTS,
}
_NULL = "null"


def registered_fields(schema: SchemaText) -> tuple[RecordField, ...]:
    """Return the fields of the entity in a schema of its events or states, in the order of their names.

    Raises `UnreadableEvent` if Streamer has not made the schema.
    """
    try:
        described = orjson.loads(schema.text)
        read = _of_avro if schema.format == "AVRO" else _of_json
        return tuple(sorted(read(described), key=lambda each: each.name))
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableEvent("the schema in the registry is not a schema of Streamer's events") from exc


def _of_avro(record: JsonObject) -> Iterator[RecordField]:
    types = {each["name"]: each["type"] for each in record["fields"]}
    if AFTER in types:
        return _own(_avro_fields(types[AFTER][1]))
    return _avro_fields(types[FIELDS]) if FIELDS in types else _own(_avro_fields(record))


def _own(fields: Iterator[RecordField]) -> Iterator[RecordField]:
    return (each for each in fields if is_own(each.name))


def _avro_fields(record: JsonObject) -> Iterator[RecordField]:
    for each in record["fields"]:
        kind = each["type"]
        branches = [branch for branch in kind if branch != _NULL] if isinstance(kind, list) else [kind]
        if (found := _avro_type(branches, each)) is not None:
            yield RecordField(name=each["name"], type=found)


def _avro_type(branches: list[Any], each: JsonObject) -> FieldType | None:
    last = branches[-1]
    if isinstance(last, dict) and last["type"] == "record":
        record = RecordType(name=_full_name(last), fields=tuple(_avro_fields(last)))
        kind = Kind.TEXT_OR_RECORD if len(branches) > 1 else Kind.RECORD
        return FieldType(kind=kind, record=record)
    if len(branches) != 1:
        return None
    if not isinstance(last, dict):
        is_numeral = last == "string" and each.get(NUMERAL)
        return FieldType(kind=Kind.NUMERAL) if is_numeral else _simple(_AVRO.get(last))
    if last.get("logicalType") == "decimal":
        return FieldType(kind=Kind.DECIMAL, precision=int(last["precision"]), scale=int(last["scale"]))
    if last["type"] == "array" and last["items"] == "string":
        return FieldType(kind=Kind.TEXTS)
    return _simple(_AVRO_LOGICAL.get(last.get("logicalType")))


def _of_json(schema: JsonObject) -> Iterator[RecordField]:
    described, path = schema["properties"], schema["title"]
    if AFTER in described:
        return _own(_json_fields(described[AFTER]["anyOf"][1], f"{path}.{AFTER}"))
    if FIELDS in described:
        return _json_fields(described[FIELDS], path)
    return _own(_json_fields(schema, path))


def _json_fields(record: JsonObject, path: str) -> Iterator[RecordField]:
    for name, each in record["properties"].items():
        # A property without a type is a field that the org does not describe.
        choices = [choice for choice in each.get("anyOf", ()) if choice.get("type") != _NULL]
        if choices and (found := _json_type(choices, f"{path}.{name}")) is not None:
            yield RecordField(name=name, type=found)


def _json_type(choices: list[JsonObject], path: str) -> FieldType | None:
    first = choices[0]
    if "additionalProperties" in first:
        record = RecordType(name=path, fields=tuple(_json_fields(first, path)))
        kind = Kind.TEXT_OR_RECORD if len(choices) > 1 else Kind.RECORD
        return FieldType(kind=kind, record=record)
    return _simple(_JSON.get((first.get("type"), first.get("format"))))


def _simple(kind: Kind | None) -> FieldType | None:
    return None if kind is None else FieldType(kind=kind)


def _full_name(record: JsonObject) -> str:
    return ".".join(filter(None, (record.get("namespace", ""), record["name"])))
