"""Types of records: the fields of an entity's events, derived from the entity's description.

A type is independent of Avro and of JSON Schema. The same description always gives
the same type, in whichever order Salesforce lists the fields.

Sources: REST API guide, sObject describe and field types; Avro 1.11, names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from streamer.events import JsonObject
from streamer.normalise.record_shape import RecordShape

Numbers = Literal["double", "decimal", "string"]
"""Form of a decimal number in Avro."""
EnvelopeForm = Literal["streamer", "flat", "debezium"]
"""Form of the whole record in a state topic."""

NULL_FIELDS = "null_fields"
"""Field with the names of the fields that an event carries with the value null."""
OTHER_VALUES = "other_values"
"""Field with the values that do not have the type of their field, as JSON by path."""
FIELDS = "fields"
"""Field with the values of the entity's own fields."""
BEFORE, AFTER = "before", "after"
"""Fields with a record before and after its change, in the envelope of Debezium."""
RECORD_ID = "record_id"
"""Field with the id of the record."""

_STATES = "salesforce.state."
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LARGEST_PRECISION = 38


class Kind(StrEnum):
    """Kind of a field's values."""

    TEXT = "text"
    INTEGER = "integer"
    DOUBLE = "double"
    DECIMAL = "decimal"
    NUMERAL = "numeral"
    """Number that is written as text."""
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TEXTS = "texts"
    TEXT_MAP = "text map"
    RECORD = "record"
    TEXT_OR_RECORD = "text or record"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """Type of a field. A decimal has `precision` and `scale`, and a record has its type in `record`."""

    kind: Kind
    precision: int = 0
    scale: int = 0
    record: "RecordType | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordField:
    """Field of a record type. A field that is not `required` can be absent."""

    name: str
    type: FieldType
    required: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordType:
    """Type of a record: its full name with dots, and its fields with unique names."""

    name: str
    fields: tuple[RecordField, ...]


_TEXT = FieldType(kind=Kind.TEXT)
_TEXTS = FieldType(kind=Kind.TEXTS)
_BY_TYPE: Mapping[str, FieldType] = {
    "boolean": FieldType(kind=Kind.BOOLEAN),
    "int": FieldType(kind=Kind.INTEGER),
    "long": FieldType(kind=Kind.INTEGER),
    "date": FieldType(kind=Kind.DATE),
    "datetime": FieldType(kind=Kind.TIMESTAMP),
}
_DECIMALS = frozenset({"double", "currency", "percent"})


def is_described(event_type: str) -> bool:
    """Return whether events of this type have an entity with a description: changes and platform events."""
    _, kind, name, *_ = [*event_type.split("."), "", "", ""]
    return kind in _ENVELOPES and _NAME.fullmatch(name) is not None


def event_stem(event_type: str) -> str:
    """Return the part of a type that all events of an entity share: `salesforce.cdc.Account`."""
    return ".".join(event_type.split(".")[:3])


def event_record(stem: str, describe: JsonObject | None, numbers: Numbers) -> RecordType:
    """Return the type of the data of events with the stem `stem`, such as `salesforce.cdc.Account`.

    Without a description of the entity, its fields are unknown, so all values are in
    `other_values`.
    """
    kind = stem.split(".")[1]
    fields = () if describe is None else entity_fields(stem, describe, numbers)
    own = RecordType(name=f"{stem}.Fields", fields=fields)
    return RecordType(name=stem, fields=(*_enveloped(stem, own, _ENVELOPES[kind]), _NULLS, _OTHERS))


def state_stem(entity: str) -> str:
    """Return the full name of the records with the states of an entity: `salesforce.state.Account`."""
    return f"{_STATES}{entity}"


def state_record_type(
    stem: str, fields: Iterable[RecordField], envelope: EnvelopeForm = "streamer"
) -> RecordType:
    """Return the type of the states of records with the stem `stem`, such as `salesforce.state.Account`.

    `fields` are the fields of the entity, in the type of its events. A state has no
    empty fields, so an absent field is always empty.
    """
    match envelope:
        case "streamer":
            own = RecordType(name=f"{stem}.Fields", fields=tuple(_moved(each, stem) for each in fields))
            around = _enveloped(stem, own, _STATE)
        case "flat":
            around = (*_parts(stem, _STATE), *(_moved(each, stem) for each in fields))
        case "debezium":
            described = tuple(fields)
            before, after = (_row(f"{stem}.{name}", described) for name in (BEFORE, AFTER))
            around = (*_parts(stem, _DEBEZIUM), before, after)
    return RecordType(name=stem, fields=(*around, _OTHERS))


def own_fields(record: RecordType) -> Mapping[str, RecordType]:
    """Return the records that hold the entity's own fields in the type of its events or states, by place.

    The place is empty if the fields are beside those of the envelope.
    """
    found = {
        each.name: each.type.record
        for each in record.fields
        if each.name in {FIELDS, BEFORE, AFTER} and each.type.record is not None
    }
    return found or {"": record}


def is_own(name: str) -> bool:
    """Return whether a field beside those of the envelope is the entity's own: such a name has a capital."""
    return name not in _STATE and name != OTHER_VALUES


def _row(name: str, fields: Iterable[RecordField]) -> RecordField:
    own = tuple(_moved(each, name) for each in fields)
    record = RecordType(name=name, fields=(RecordField(name=RECORD_ID, type=_TEXT, required=True), *own))
    return RecordField(name=name.rpartition(".")[2], type=FieldType(kind=Kind.RECORD, record=record))


def _moved(field: RecordField, stem: str) -> RecordField:
    """Return a field whose record, if it is one, has a name under `stem`."""
    record = field.type.record
    if record is None:
        return field
    return replace(field, type=replace(field.type, record=replace(record, name=f"{stem}.{field.name}")))


def entity_fields(stem: str, describe: JsonObject, numbers: Numbers) -> tuple[RecordField, ...]:
    """Return the fields of an entity, in the order of their names; a compound field is a record."""
    described = {field["name"]: field for field in describe["fields"] if _has_name(field)}
    plain: dict[str, FieldType] = {}
    parts: dict[str, dict[str, FieldType]] = {}
    for place in RecordShape.of(describe).places:
        field_type = _field_type(described[place.name], numbers)
        if place.listed and place.within is not None:
            plain[place.within] = _TEXTS
        elif place.within is None:
            plain[place.name] = field_type
        else:
            parts.setdefault(place.within, {})[place.part] = field_type
    compounds = {name: _compound(stem, name, found, plain) for name, found in parts.items()}
    return tuple(_sorted_fields({**plain, **compounds}))


def _has_name(field: Any) -> bool:
    return isinstance(field, dict) and isinstance(field.get("name"), str)


def _compound(
    stem: str, name: str, parts: Mapping[str, FieldType], plain: Mapping[str, FieldType]
) -> FieldType:
    record = RecordType(name=f"{stem}.{name}", fields=tuple(_sorted_fields(parts)))
    # The name of an account is a text, or, for a person account, a record.
    kind = Kind.TEXT_OR_RECORD if name in plain else Kind.RECORD
    return FieldType(kind=kind, record=record)


def _sorted_fields(found: Mapping[str, FieldType]) -> Iterator[RecordField]:
    for name in sorted(found):
        if _NAME.fullmatch(name):
            yield RecordField(name=name, type=found[name])


def _field_type(field: JsonObject, numbers: Numbers) -> FieldType:
    data_type = field.get("type")
    if data_type not in _DECIMALS:
        return _BY_TYPE.get(str(data_type), _TEXT)
    if numbers == "string":
        return FieldType(kind=Kind.NUMERAL)
    precision, scale = field.get("precision"), field.get("scale")
    if numbers != "decimal" or type(precision) is not int or type(scale) is not int:
        return FieldType(kind=Kind.DOUBLE)
    if not (0 < precision <= _LARGEST_PRECISION and 0 <= scale <= precision):
        return FieldType(kind=Kind.DOUBLE)
    return FieldType(kind=Kind.DECIMAL, precision=precision, scale=scale)


_Parts = Mapping[str, tuple[FieldType, bool]]
_REDRIVEN: _Parts = {"set_aside_at": (_TEXT, True), "redriven_at": (_TEXT, True)}
_TRANSACTION: _Parts = {
    "key": (_TEXT, True),
    "sequence": (FieldType(kind=Kind.INTEGER), True),
    "commit_number": (FieldType(kind=Kind.INTEGER), False),
    "user": (_TEXT, False),
    "origin": (_TEXT, False),
}
_CHANGE: Mapping[str, tuple[FieldType | _Parts, bool]] = {
    "entity": (_TEXT, True),
    "record_id": (_TEXT, True),
    "change": (_TEXT, True),
    "changed_fields": (_TEXTS, True),
    "nulled_fields": (_TEXTS, True),
    "diff_fields": (_TEXTS, False),
    "transaction": (_TRANSACTION, False),
    "reread": ({"fields": (_TEXTS, True), "last_modified": (_TEXT, False)}, False),
    "recovered": ({"reason": (_TEXT, True), "read_at": (_TEXT, True)}, False),
    "snapshot": ({"id": (_TEXT, True), "read_at": (_TEXT, True)}, False),
    "redriven": (_REDRIVEN, False),
}
_PLATFORM_EVENT: Mapping[str, tuple[FieldType | _Parts, bool]] = {
    "entity": (_TEXT, True),
    "redriven": (_REDRIVEN, False),
}
_ENVELOPES = {"cdc": _CHANGE, "event": _PLATFORM_EVENT}
_TIMESTAMP = FieldType(kind=Kind.TIMESTAMP)
_STATE: Mapping[str, tuple[FieldType | _Parts, bool]] = {
    "entity": (_TEXT, True),
    "record_id": (_TEXT, True),
    "changed_at": (_TIMESTAMP, False),
    "event_id": (_TEXT, True),
    "commit_number": (FieldType(kind=Kind.INTEGER), False),
    "sequence": (FieldType(kind=Kind.INTEGER), False),
    "read_at": (_TIMESTAMP, False),
    "omitted": (_TEXTS, False),
}
_DEBEZIUM: Mapping[str, tuple[FieldType | _Parts, bool]] = {
    "op": (_TEXT, True),
    "ts_ms": (FieldType(kind=Kind.INTEGER), True),
    "source": (
        {
            "version": (_TEXT, True),
            "connector": (_TEXT, True),
            "name": (_TEXT, True),
            "table": (_TEXT, True),
            "snapshot": (_TEXT, True),
            "ts_ms": (FieldType(kind=Kind.INTEGER), True),
            "event_id": (_TEXT, True),
            "commit_number": (FieldType(kind=Kind.INTEGER), False),
            "sequence": (FieldType(kind=Kind.INTEGER), False),
            "read_at": (_TIMESTAMP, False),
            "omitted": (_TEXTS, False),
        },
        True,
    ),
}
_NULLS = RecordField(
    name=NULL_FIELDS,
    type=_TEXTS,
    doc="names of the fields with the value null; null if each null in `fields` is a value",
)
_OTHERS = RecordField(
    name=OTHER_VALUES,
    type=FieldType(kind=Kind.TEXT_MAP),
    doc="values that do not have the type of their field, as JSON by path",
)


def _enveloped(
    stem: str, own: RecordType, envelope: Mapping[str, tuple[FieldType | _Parts, bool]]
) -> tuple[RecordField, ...]:
    fields = RecordField(name=FIELDS, type=FieldType(kind=Kind.RECORD, record=own), required=True)
    return (*_parts(stem, envelope), fields)


def _parts(stem: str, envelope: Mapping[str, tuple[FieldType | _Parts, bool]]) -> tuple[RecordField, ...]:
    return tuple(
        RecordField(name=name, type=_part_type(stem, name, what), required=required)
        for name, (what, required) in envelope.items()
    )


def _part_type(stem: str, name: str, what: FieldType | _Parts) -> FieldType:
    if isinstance(what, FieldType):
        return what
    parts = tuple(
        RecordField(name=part, type=field_type, required=required)
        for part, (field_type, required) in what.items()
    )
    # Compound fields have capitals, so the names of the records differ.
    return FieldType(kind=Kind.RECORD, record=RecordType(name=f"{stem}.{name}", fields=parts))
