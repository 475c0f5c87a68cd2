"""View of the schema: the types and fields that one user can see."""

from collections.abc import Iterable
from dataclasses import replace

from streamer.sandbox.access.user import ObjectPermission, User
from streamer.sandbox.org.refusals import Refused, no_such_column, not_found
from streamer.sandbox.org.schema import Entity, PlatformEvent, Schema


class SchemaView:
    """The schema as one user sees it.

    Types and fields that the user can't read seem not to exist, and writes are checked.
    """

    def __init__(self, schema: Schema, user: User) -> None:
        self._schema = schema
        self._user = user
        self._seen: dict[str, tuple[Entity, Entity]] = {}

    @property
    def user(self) -> User:
        """The user."""
        return self._user

    @property
    def changed_at(self) -> float:
        """The time of the latest change to the schema, in epoch seconds."""
        return self._schema.changed_at

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All readable types, in the order of their creation."""
        return tuple(self._view(each) for each in self._schema.entities if self._reads(each.name))

    @property
    def platform_events(self) -> tuple[str, ...]:
        """Names of the known platform events that can be read."""
        return tuple(name for name in self._schema.platform_events if self._reads(name))

    def entity(self, name: str) -> Entity:
        """Return the type with this name; raises `Refused` if no such type exists."""
        if not self._reads(name):
            raise not_found()
        return self._view(self._schema.entity(name))

    def entity_of_id(self, record_id: str) -> Entity | None:
        """Return the type whose ids have the same prefix as this id, or `None`."""
        found = self._schema.entity_of_id(record_id)
        return self._view(found) if found is not None and self._reads(found.name) else None

    def is_platform_event(self, name: str) -> bool:
        """Return whether this is the name of a platform event that the user can read."""
        return self._schema.is_platform_event(name) and self._reads(name)

    def event(self, name: str) -> PlatformEvent | None:
        """Return the declared fields of a platform event that the user can read, or `None`."""
        return self._schema.event(name) if self._reads(name) else None

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field, or `None`."""
        return None if self._user.hides(entity.name, name) else self._schema.readable(entity, name)

    def identifying(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field that can find a record to update, or `None`."""
        return None if self._user.hides(entity.name, name) else self._schema.identifying(entity, name)

    def check(self, type_name: str, right: str) -> None:
        """Raise `Refused` unless the user has a right on a type."""
        if not self._reads(type_name):
            raise not_found()
        if self._user.may(type_name, ObjectPermission(right)):
            return
        if right == ObjectPermission.CREATE:
            message = "You do not have the level of access necessary to perform the operation you requested."
            raise Refused("INSUFFICIENT_ACCESS", message, status=403)
        message = "insufficient access rights on object id"
        raise Refused("INSUFFICIENT_ACCESS_OR_READONLY", message, status=403)

    def check_fields(self, type_name: str, names: Iterable[str]) -> None:
        """Raise `Refused` for a field that the user can't see or can't write."""
        for name in names:
            if self._user.hides(type_name, name):
                raise no_such_column(name, type_name)
            if not self._user.writes(type_name, name):
                message = f"Unable to create/update fields: {name}. Please check the security settings."
                raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=[name])

    def _reads(self, name: str) -> bool:
        return self._user.may(name, ObjectPermission.READ)

    def _view(self, entity: Entity) -> Entity:
        if not self._user.hidden_fields:
            return entity
        cached = self._seen.get(entity.name)
        if cached is None or cached[0] is not entity:
            cached = self._seen[entity.name] = (entity, _without_hidden(entity, self._user))
        return cached[1]


def _without_hidden(entity: Entity, user: User) -> Entity:
    def shown(field: str) -> bool:
        return not user.hides(entity.name, field)

    return replace(
        entity,
        fields={name: field for name, field in entity.fields.items() if shown(name)},
        parts={name: part for name, part in entity.parts.items() if shown(name) and shown(part[0])},
        by_lower_name={lower: name for lower, name in entity.by_lower_name.items() if shown(name)},
    )
