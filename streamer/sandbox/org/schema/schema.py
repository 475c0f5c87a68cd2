"""Record types and platform events that the org has."""

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from streamer.sandbox.org.refusals import Refused, no_such_column, not_found
from streamer.sandbox.org.schema.entities import COMPUTED, READ_ONLY, Entity, Field, PlatformEvent, type_of
from streamer.sandbox.org.schema.standard_types import STANDARD, new_type

_DIGITS = string.digits + string.ascii_uppercase
_CUSTOM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}__[ce]")


class Schema:
    """The record types and platform events of the org.

    Custom types, and custom fields of any type, are created when they are first used,
    unless the schema is `closed` or the type is declared. `changed_at` is the time of
    the schema's latest change, in epoch seconds. `rules` has a check for each type,
    which raises `Refused` before an invalid record is saved.
    """

    def __init__(
        self,
        *,
        custom: Iterable[str] = (),
        standard: Iterable[Entity] = (),
        closed: bool = False,
        now: Callable[[], float] = float,
    ) -> None:
        """Start with the standard types and with the names in `custom`, which end in `__c` or `__e`.

        `standard` has further types that every org has.

        `now` returns the time in epoch seconds.
        """
        self._closed = self._always_closed = closed
        self._now = now
        self.changed_at = now()
        self.rules: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._entities = {**STANDARD, **{entity.name: entity for entity in standard}}
        self._lower = {name.lower(): name for name in self._entities}
        self._custom_types = 0
        self._platform_events: set[str] = set()
        self._events: dict[str, PlatformEvent] = {}
        for name in custom:
            self._create(name)

    @property
    def is_closed(self) -> bool:
        """True if the first use of a name creates nothing."""
        return self._closed

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All record types, in the order of their creation."""
        return tuple(self._entities.values())

    @property
    def platform_events(self) -> tuple[str, ...]:
        """Names of the known platform events; with an open schema, other events can be published, too."""
        return tuple(sorted(self._platform_events | self._events.keys()))

    @property
    def events(self) -> tuple[PlatformEvent, ...]:
        """The platform events whose fields are declared."""
        return tuple(self._events.values())

    def define(
        self, entities: Iterable[Entity], events: Iterable[PlatformEvent], *, closed: bool = False
    ) -> None:
        """Replace the types and events that were declared before.

        A type that is no longer declared keeps its fields and records, and can get any
        further field. `closed` forbids undeclared types and events.
        """
        for entity in self.entities:
            if entity.declared:
                self._entities[entity.name] = _freed(entity)
        for entity in entities:
            self._entities[entity.name] = entity
            self._lower[entity.name.lower()] = entity.name
        self._events = {event.name: event for event in events}
        self._closed = closed or self._always_closed
        self.changed_at = self._now()

    def new_prefix(self) -> str:
        """Return the id prefix of a new custom type; raises `Refused` if there are too many types."""
        number, self._custom_types = self._custom_types, self._custom_types + 1
        if number >= len(_DIGITS) ** 2:
            raise Refused("LIMIT_EXCEEDED", "The org has as many custom objects as it can have")
        return "a" + "".join(_DIGITS[digit] for digit in divmod(number, len(_DIGITS)))

    def existing(self, name: str) -> Entity | None:
        """Return the type with exactly this name, or `None`; creates no type."""
        return self._entities.get(name)

    def entity(self, name: str) -> Entity:
        """Return the type with this name; raises `Refused` if no such type exists."""
        found = self._entities.get(name) or self._entities.get(self._lower.get(name.lower(), ""))
        if found is None and not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name):
            self._create(name)
            found = self._entities[name]
        if found is None:
            raise not_found()
        return found

    def knows(self, name: str) -> bool:
        """Return whether a type with exactly this name exists or can be created; creates no type."""
        can_be_created = not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name)
        return name in self._entities or bool(can_be_created)

    def entity_of_id(self, record_id: str) -> Entity | None:
        """Return the type whose ids have the same prefix as this id, or `None`."""
        return next((each for each in self._entities.values() if each.prefix == record_id[:3]), None)

    def is_platform_event(self, name: str) -> bool:
        """Return whether messages of this platform event can be published."""
        open_name = not self._closed and name.endswith("__e") and _CUSTOM_NAME.fullmatch(name)
        return name in self._platform_events or name in self._events or bool(open_name)

    def event(self, name: str) -> PlatformEvent | None:
        """Return the declared fields of a platform event; `None` if the event accepts any field."""
        return self._events.get(name)

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field, or `None`.

        With an open schema, a custom field that does not exist yet is empty.
        """
        known = entity.field_name(name)
        if known is not None:
            return known
        compound = next((each for each in entity.compounds if each.lower() == name.lower()), None)
        return compound or (name if self._can_get_field(entity, name) else None)

    def identifying(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a field that can find a record to update, or `None`."""
        known = self.readable(entity, name)
        field = entity.fields.get(known) if known is not None else None
        return known if field is None or field.identifies else None

    def writable(self, entity: Entity, name: str, value: Any) -> Field:
        """Return the field to which `value` can be written.

        With an open schema, a missing custom field is created with the type of the
        value; otherwise, raises `Refused`.
        """
        known = entity.field_name(name)
        if known is not None and known not in READ_ONLY | COMPUTED:
            return entity.fields[known]
        if known is None and self._can_get_field(entity, name):
            field = Field(name=name, type=type_of(value))
            self._add_field(entity, field)
            return field
        if known is not None:
            message = f"Unable to create/update fields: {known}. Please check the security settings."
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=[known])
        raise no_such_column(name, entity.name)

    def create_reference(self, entity: Entity, name: str, target: str) -> Entity:
        """Create a custom reference field, and return the type to which it points.

        Raises `Refused` if the type can't get a further field, or already has a field
        with this name.
        """
        if entity.field_name(name) is not None or not self._can_get_field(entity, name):
            raise no_such_column(name, entity.name)
        pointed_to = self.entity(target)
        self._add_field(entity, Field(name=name, type="reference", targets=(pointed_to.name,)))
        return pointed_to

    def replace_field(self, entity: Entity, field: Field) -> None:
        """Replace the type's field of the same name."""
        self._add_field(entity, field)

    def _can_get_field(self, entity: Entity, name: str) -> bool:
        is_open = not self._closed and not entity.declared
        return is_open and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name) is not None

    def _add_field(self, entity: Entity, field: Field) -> None:
        self._entities[entity.name] = self._entities[entity.name].with_fields(field)
        self.changed_at = self._now()

    def _create(self, name: str) -> None:
        if not _CUSTOM_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is neither the name of a custom object (X__c) nor the name of a "
                "platform event (X__e)."
            )
        self.changed_at = self._now()
        if name.endswith("__e"):
            self._platform_events.add(name)
            return
        self._entities[name] = new_type(name, self.new_prefix())
        self._lower[name.lower()] = name


def _freed(entity: Entity) -> Entity:
    """Return a type without its declared rules; a standard type gets the standard rules again."""
    standard = STANDARD.get(entity.name)
    free = {
        name: Field(name=name, type=field.type, targets=field.targets)
        for name, field in entity.fields.items()
        if standard is None or name not in standard.fields
    }
    if standard is not None:
        return standard.with_fields(*free.values())
    return replace(entity, declared=False, label=None).with_fields(*free.values())
