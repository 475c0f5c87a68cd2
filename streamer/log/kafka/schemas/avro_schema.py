"""Avro schemas of record types, as text.

Source: Avro 1.11 specification, schema declaration and logical types.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from streamer.events import JsonObject
from streamer.log.kafka.schemas.record_types import FieldType, Kind, RecordField, RecordType

_SIMPLE: Mapping[Kind, Any] = {
    Kind.TEXT: "string",
    Kind.NUMERAL: "string",
    Kind.INTEGER: "long",
    Kind.DOUBLE: "double",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: {"type": "int", "logicalType": "date"},
    Kind.TIMESTAMP: {"type": "long", "logicalType": "timestamp-millis"},
    Kind.TEXTS: {"type": "array", "items": "string"},
    Kind.TEXT_MAP: {"type": "map", "values": "string"},
}
NUMERAL = "numeral"
"""Name of the attribute that marks a text as a number; readers of Avro ignore unknown attributes."""


def avro_schema(record: RecordType) -> str:
    """Return the schema of a record type as text; equal types have equal texts."""
    return orjson.dumps(_of_record(record)).decode()


def _of_record(record: RecordType) -> JsonObject:
    namespace, _, name = record.name.rpartition(".")
    fields = [_of_field(each) for each in record.fields]
    return {"type": "record", "name": name, "namespace": namespace, "fields": fields}


def _of_field(each: RecordField) -> JsonObject:
    about: JsonObject = {"name": each.name}
    if each.doc:
        about["doc"] = each.doc
    if each.type.kind is Kind.NUMERAL:
        about[NUMERAL] = True
    if each.required:
        return {**about, "type": _branches(each.type)[0]}
    return {**about, "type": ["null", *_branches(each.type)], "default": None}


def _branches(kind: FieldType) -> list[Any]:
    if kind.kind is Kind.DECIMAL:
        about = {"logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
        return [{"type": "bytes", **about}]
    if kind.record is None:
        return [_SIMPLE[kind.kind]]
    record = _of_record(kind.record)
    return ["string", record] if kind.kind is Kind.TEXT_OR_RECORD else [record]
