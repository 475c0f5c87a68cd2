"""Event schemas of the org, by the names of events and by their ids."""

from collections import OrderedDict
from collections.abc import Iterable

from streamer.sandbox.org.definitions.avro import (
    Avro,
    change_event_schema,
    event_schema,
    fingerprint,
    schema_id,
)
from streamer.sandbox.org.schema import Entity, PlatformEvent, Schema

_MOST_KEPT = 10_000


class EventSchemas:
    """Remembers every schema that an event had or a client asked for, so that its id stays readable.

    One definition has one id, and a changed one a new id. Of very many the
    oldest are forgotten.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._ids: dict[str, tuple[Entity | PlatformEvent, str]] = {}
        self._schemas: OrderedDict[str, Avro] = OrderedDict()

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
        """Return the schema of that id, `None` if no event has it or ever had it."""
        if identifier not in self._schemas:
            # An id of an earlier run: the same definition has it again, although no event needed it yet.
            current: list[Entity | PlatformEvent] = [*self._schema.entities, *self._schema.events]
            for definition in current:
                self.id_of(definition)
        return self._schemas.get(identifier)


def open_schema_id(name: str, fields: Iterable[str]) -> str:
    """Return the schema id of a message of an event that nothing declares; there is no schema behind it."""
    return fingerprint([name, *sorted(fields)])


def _avro(definition: Entity | PlatformEvent) -> Avro:
    if isinstance(definition, PlatformEvent):
        return event_schema(definition)
    return change_event_schema(definition)
