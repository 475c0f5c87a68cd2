"""Avro schemas of events, and the ids of these schemas.

An id is the MD5 fingerprint of the normalised schema, in base64url without padding
(REST API guide, platform event schema).
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from streamer.sandbox.org.changes import ChangeType
from streamer.sandbox.org.schema import Entity, Field, PlatformEvent

NAMESPACE = "com.sforce.eventbus"

Avro = dict[str, Any]
"""A schema, or a field of a schema, in Avro's JSON."""

_PRIMITIVES = {
    "boolean": "boolean",
    "int": "int",
    "double": "double",
    "currency": "double",
    "percent": "double",
    "date": "long",
    "datetime": "long",
}
# For fields without an entry, an org has other documentation, which clients do not need.
_DOCS = {"date": "Data:DateOnly", "datetime": "Data:DateTime"}
_CANONICAL = ("name", "namespace", "type", "fields", "symbols", "items")
_NEVER_IN_BODY = frozenset({"Id", "IsDeleted", "SystemModstamp"})
_STAMPS = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById")
_HEADER: Avro = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": {"type": "array", "items": "string"}},
        {
            "name": "changeType",
            "type": {"type": "enum", "name": "ChangeType", "symbols": [*ChangeType, "SNAPSHOT"]},
        },
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        *(
            {"name": name, "type": {"type": "array", "items": "string"}}
            for name in ("nulledFields", "diffFields", "changedFields")
        ),
    ],
}


def event_schema(event: PlatformEvent) -> Avro:
    """Return the schema of a platform event as a plain Avro record."""
    return _record(event.name, [*_event_stamps(), *(_field(field) for field in event.fields.values())])


def change_event_schema(entity: Entity) -> Avro:
    """Return the schema of a type's change event, in which only the header is never null."""
    header: Avro = {"name": "ChangeEventHeader", "type": _HEADER}
    return _record(entity.change_event, [header, *_body(entity)])


def schema_id(schema: Avro) -> str:
    """Return the id of a schema: 22 characters that change with its names and types."""
    digest = hashlib.md5(orjson.dumps(_normalised(schema)), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def expanded(schema: Avro) -> Avro:
    """Return the schema in the form for a CometD message, in which times are texts."""
    fields = [{**field, "type": _with_times_as_text(field)} for field in schema["fields"]]
    payload = {"type": "record", "name": "Payload", "doc": "", "fields": fields}
    replay_id = {"name": "replayId", "type": "long"}
    data = [
        {"name": "schema", "type": "string"},
        {"name": "payload", "type": payload},
        {"name": "event", "type": {"type": "record", "name": "Event", "fields": [replay_id]}},
    ]
    message = {"type": "record", "name": "Data", "namespace": "", "fields": data}
    body = [{"name": "data", "type": message}, {"name": "channel", "type": "string"}]
    return {**schema, "type": "expanded-record", "fields": body}


def _record(name: str, fields: list[Avro]) -> Avro:
    return {"name": name, "namespace": NAMESPACE, "type": "record", "fields": fields}


def _event_stamps() -> Iterator[Avro]:
    yield {"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}
    yield {"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}


def _body(entity: Entity) -> Iterator[Avro]:
    """Return the fields of a change event: standard fields, then the stamps, then custom fields."""
    names = [name for name in entity.fields if name not in _NEVER_IN_BODY and name not in _STAMPS]
    custom = [name for name in names if name.endswith("__c")]
    standard = [name for name in names if not name.endswith("__c")]
    compounds, kinds = set[str](), set[str]()
    for name in (*standard, *_STAMPS, *custom):
        compound, _ = entity.parts.get(name, (None, ""))
        if compound is None:
            yield _field(entity.fields[name], optional=True)
        elif compound not in compounds:
            compounds.add(compound)
            yield _compound(entity, compound, kinds)


def _compound(entity: Entity, name: str, defined: set[str]) -> Avro:
    kind = "Address" if name.endswith("Address") else "PersonName"
    parts = [
        {"name": short, "type": ["null", _type(entity.fields[part])], **_doc(entity.fields[part])}
        for part, (compound, short) in entity.parts.items()
        if compound == name
    ]
    # In Avro, a record is defined once, and later references use its name.
    record = kind if kind in defined else {"type": "record", "name": kind, "fields": parts}
    defined.add(kind)
    return {"name": name, "type": ["null", record], "default": None}


def _field(field: Field, *, optional: bool = False) -> Avro:
    if field.required and not optional:
        return {"name": field.name, "type": _type(field), **_doc(field)}
    return {"name": field.name, "type": ["null", _type(field)], **_doc(field), "default": None}


def _doc(field: Field) -> Avro:
    """Return the part of a field's schema that distinguishes a time from a number."""
    doc = _DOCS.get(field.type)
    return {"doc": doc} if doc else {}


def _type(field: Field) -> str:
    return _PRIMITIVES.get(field.type, "string")


def _with_times_as_text(field: Avro) -> Any:
    kinds = field["type"]
    if isinstance(kinds, list):
        return ["string" if kind == "long" else kind for kind in kinds]
    return "string" if kinds == "long" else kinds


def _normalised(schema: Any) -> Any:
    """Return the parsing canonical form of a schema: only the parts that a reader of the bytes needs."""
    if isinstance(schema, list):
        return [_normalised(each) for each in schema]
    if isinstance(schema, dict):
        return {key: _normalised(schema[key]) for key in _CANONICAL if key in schema}
    return schema
