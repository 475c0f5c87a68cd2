"""Declared schemas, applied to the types and channels of an org."""

from collections.abc import Iterator

from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.definitions.consistency import CHANGES, is_event_name
from streamer.sandbox.org.definitions.declaration import (
    DeclaredEvent,
    DeclaredEventField,
    DeclaredField,
    DeclaredObject,
    DeclaredSchema,
)
from streamer.sandbox.org.definitions.mistakes import DeclarationError, Mistake
from streamer.sandbox.org.records import RecordStore
from streamer.sandbox.org.schema import STANDARD, Entity, Field, PlatformEvent, Schema, new_type


def apply(declared: DeclaredSchema, schema: Schema) -> None:
    """Replace the objects and events that were declared before."""
    entities = [_entity(schema, name, each) for name, each in declared.objects.items()]
    events = [_event(name, each) for name, each in declared.events.items()]
    schema.define(entities, events, closed=declared.closed)


def check_uniqueness(declared: DeclaredSchema, schema: Schema, records: RecordStore) -> None:
    """Raise `DeclarationError` if several records share a value in a field that is declared unique."""
    mistakes = []
    for type_name, each in declared.objects.items():
        entity = schema.existing(type_name)
        if entity is None:
            continue
        for name, field in each.fields.items():
            if field.unique and _has_duplicates(records, entity, name, case_sensitive=field.case_sensitive):
                keys = ("objects", type_name, "fields", name, "unique")
                mistakes.append(
                    Mistake(
                        keys,
                        (
                            "several records have the same value in this field: change "
                            "or delete all of these records except one"
                        ),
                    )
                )
    if mistakes:
        raise DeclarationError(mistakes)


def _has_duplicates(records: RecordStore, entity: Entity, field: str, *, case_sensitive: bool) -> bool:
    filled = (record.get(field) for record in records.all(entity) if not record["IsDeleted"])
    values = [
        str(value) if case_sensitive else str(value).casefold() for value in filled if value is not None
    ]
    return len(set(values)) < len(values)


def channel_settings(declared: DeclaredSchema) -> tuple[OrgChannel, ...]:
    """Return the declared channels."""
    return tuple(_channels(declared))


def selection(declared: DeclaredSchema) -> frozenset[str] | None:
    """Return the objects whose changes are announced on `/data/ChangeEvents`; `None` means all objects."""
    members = declared.channels.get(CHANGES)
    return None if members is None else frozenset(members)


def _channels(declared: DeclaredSchema) -> Iterator[OrgChannel]:
    for name, members in declared.channels.items():
        kind = "event" if any(is_event_name(member) for member in members) else "data"
        yield OrgChannel(
            path=f"/{kind}/{name}",
            members=frozenset(members),
            enriched_fields={member: fields for member, fields in members.items() if fields},
        )


def _entity(schema: Schema, name: str, declared: DeclaredObject) -> Entity:
    existing = schema.existing(name)
    if name in STANDARD:
        base = STANDARD[name]
    else:
        prefix = declared.prefix or (existing.prefix if existing is not None else schema.new_prefix())
        base = new_type(name, prefix)
    fields = (
        _field(field_name, each, base.fields.get(field_name)) for field_name, each in declared.fields.items()
    )
    return base.declared_with(fields, label=declared.label)


def _field(name: str, declared: DeclaredField, standard: Field | None) -> Field:
    known = standard or Field(name=name)
    required = known.required if declared.required is None else declared.required
    return Field(
        name=name,
        type=declared.type or known.type,
        required=required,
        targets=declared.to or known.targets,
        declared=True,
        label=declared.label,
        length=declared.length,
        precision=declared.precision,
        scale=declared.scale,
        unique=declared.unique,
        case_sensitive=declared.case_sensitive,
        external_id=declared.external_id,
        values=declared.values,
        restricted=declared.restricted and bool(declared.values),
        child_relationship=declared.child_relationship,
        cascades=declared.cascade,
    )


def _event(name: str, declared: DeclaredEvent) -> PlatformEvent:
    fields = {field: _event_field(field, each) for field, each in declared.fields.items()}
    return PlatformEvent(name=name, fields=fields, label=declared.label)


def _event_field(name: str, declared: DeclaredEventField) -> Field:
    return Field(
        name=name,
        type=declared.type,
        required=declared.required,
        declared=True,
        label=declared.label,
        length=declared.length,
        precision=declared.precision,
        scale=declared.scale,
    )
