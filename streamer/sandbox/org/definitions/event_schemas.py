"""Event schemas of the org, by the names of events and by their ids."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from streamer.sandbox.org.definitions.avro import Avro, change_event_schema, event_schema, schema_id
from streamer.sandbox.org.schema import Entity, Field, PlatformEvent, Schema, type_of

_MOST_KEPT = 10_000
_MOST_FIELDS = 800


class EventSchemas:
    """Remembers the schemas of past events and requests, so that their ids stay readable.

    A definition has one id, and a changed definition gets a new id. If there are too
    many schemas, the oldest schemas are forgotten.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._ids: dict[str, tuple[Entity | PlatformEvent, str]] = {}
        self._schemas: OrderedDict[str, Avro] = OrderedDict()
        self._open: OrderedDict[str, PlatformEvent] = OrderedDict()

    def id_of(self, definition: Entity | PlatformEvent) -> str:
        """Return the id of the schema of a platform event, or of a type's change event."""
        known = self._ids.get(definition.name)
        if known is None or known[0] is not definition:
            schema = _avro(definition)
            known = self._ids[definition.name] = (definition, schema_id(schema))
            self._schemas[known[1]] = schema
            if len(self._schemas) > _MOST_KEPT:
                self._schemas.popitem(last=False)
        return known[1]

    def get(self, identifier: str) -> Avro | None:
        """Return the schema with this id; `None` if no event has or had this schema."""
        if identifier not in self._schemas:
            # The id can come from an earlier run: the same definition has the same id, even before its first
            # event.
            current: list[Entity | PlatformEvent] = [*self._schema.entities, *self._schema.events]
            for definition in current:
                self.id_of(definition)
        return self._schemas.get(identifier)

    def open_event(self, name: str, body: Mapping[str, Any] | None = None) -> PlatformEvent:
        """Return the definition of an undeclared event after a message with the fields in `body`.

        The definition has every field that was published so far, with the type of the
        field's latest value. If it becomes too long, it starts again with the fields of
        this message.
        """
        known = self._open.get(name) or PlatformEvent(name=name, fields={})
        new = {
            field: Field(name=field, type=type_of(value))
            for field, value in (body or {}).items()
            if not _takes(known.fields.get(field), value)
        }
        if new:
            fields = {**known.fields, **new}
            if len(fields) > _MOST_FIELDS:
                fields = {field: fields[field] for field in body or ()}
            known = self._open[name] = PlatformEvent(name=name, fields=fields)
            if len(self._open) > _MOST_KEPT:
                self._open.popitem(last=False)
        return known


def _takes(field: Field | None, value: Any) -> bool:
    return field is not None and (value is None or field.type == type_of(value))


def _avro(definition: Entity | PlatformEvent) -> Avro:
    if isinstance(definition, PlatformEvent):
        return event_schema(definition)
    return change_event_schema(definition)
