"""Conversion of a custom field to another type, which deletes the field's values."""

from typing import Literal

from streamer.sandbox.org.definitions.declaration import DeclaredField, DeclaredSchema
from streamer.sandbox.org.records import RecordStore
from streamer.sandbox.org.refusals import no_such_column
from streamer.sandbox.org.schema import Entity, Field, Schema

ConvertedType = Literal[
    "string",
    "textarea",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "picklist",
    "multipicklist",
    "email",
    "phone",
    "url",
]
"""Types to which a field can be converted: all types except a reference."""


def custom_field(entity: Entity, name: str) -> Field:
    """Return a custom field of a type.

    Raises `Refused` if the field does not exist, and `ValueError` for a standard field.
    """
    known = entity.field_name(name)
    if known is None:
        raise no_such_column(name, entity.name)
    if not known.endswith("__c"):
        raise ValueError(f"{known} is a standard field: only a custom field (X__c) can get another type.")
    return entity.fields[known]


def convert(schema: Schema, entity: Entity, field: Field, to: ConvertedType) -> None:
    """Give another type to a field that is not declared."""
    schema.replace_field(entity, Field(name=field.name, type=to, label=field.label))


def converted(declared: DeclaredSchema, entity: Entity, field: Field, to: ConvertedType) -> DeclaredSchema:
    """Return the declared schema with another type for one of its fields."""
    declared_object = declared.objects[entity.name]
    changed = DeclaredField(type=to, label=declared_object.fields[field.name].label)
    fields = {**declared_object.fields, field.name: changed}
    objects = {**declared.objects, entity.name: declared_object.model_copy(update={"fields": fields})}
    return declared.model_copy(update={"objects": objects})


def empty(records: RecordStore, entity: Entity, field: Field, to: ConvertedType) -> int:
    """Empty a field in all records, including deleted records; return how many records lost a value.

    The stamps of the records do not change.
    """
    value = False if to == "boolean" else None
    losing = [record for record in records.all(entity) if record.get(field.name) is not None]
    for record in losing:
        records.put(entity, {**record, field.name: value})
    return len(losing)
