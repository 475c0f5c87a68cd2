"""Columns of a query: the fields to which its names refer, and their values in a record."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.relationships import relationship_name, targets
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.soql.locations import located
from streamer.sandbox.soql.syntax import Path, SelectQuery

_LOOK_UP = "Please reference your WSDL or the describe call for the appropriate names."
_CUSTOM_FIELD = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
)
_CUSTOM_TYPE = (
    "If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
)
_CUSTOM_RELATIONSHIP = (
    "If you are attempting to use a custom relationship, be sure to append the '__r' after the custom "
    "relationship name."
)


class ReadableSchema(Protocol):
    """The types and fields that a query can read."""

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All readable types."""
        ...

    def entity(self, name: str) -> Entity:
        """Return the type with this name; raises `Refused` if no such type exists."""
        ...

    def entity_of_id(self, record_id: str) -> Entity | None:
        """Return the type whose ids have the same prefix as this id, or `None`."""
        ...

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field, or `None`."""
        ...


class ReadableRecords(Protocol):
    """The records that a query can read, including deleted records."""

    def all(self, entity: Entity) -> Iterable[Record]:
        """Return every record of a type."""
        ...

    def get(self, entity: Entity, record_id: str) -> Record | None:
        """Return a record, or `None`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """The reference to a parent, and the name of the relationship."""

    field: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A field of the queried type or, with a `path`, of the parent at the end of the path.

    `known` is the definition of the field, or `None` if the parent can have several
    types.
    """

    path: tuple[Hop, ...]
    name: str
    known: Field | None

    @property
    def dotted(self) -> str:
        """Name of the column: the names of the relationships, then the name of the field, joined by dots."""
        return ".".join((*(hop.name for hop in self.path), self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The types and the records that a query can see."""

    schema: ReadableSchema
    records: ReadableRecords

    def entity(self, query: SelectQuery) -> Entity:
        """Return the queried type; raises `Refused` if no such type exists."""
        try:
            return self.schema.entity(query.source.text)
        except Refused as error:
            if error.code != not_found().code:
                raise
            message = f"sObject type '{query.source.text}' is not supported. {_CUSTOM_TYPE} {_LOOK_UP}"
            raise Refused("INVALID_TYPE", located(query.text, query.source.offset, message)) from error

    def column(self, query: SelectQuery, entity: Entity, path: Path) -> Column:
        """Return the column to which a name in the query refers; raises `Refused` for an unknown name."""
        *names, last = path.text.split(".")
        if names and names[0].lower() in {entity.name.lower(), (query.alias or "").lower()}:
            names = names[1:]
        hops, at = list[Hop](), entity
        for number, name in enumerate(names):
            field = self._reference(query, at, name, path)
            hops.append(Hop(field=field.name, name=relationship_name(field) or name))
            to = targets(at, field)
            if len(to) != 1:
                # The parents can have several types, so each record decides to which type its reference
                # leads.
                hops += (Hop(field=_reference_field(each), name=each) for each in names[number + 1 :])
                return Column(path=tuple(hops), name=last, known=None)
            at = self._target(query, to[0], name, path)
        proper = self._field_name(query, at, last, path)
        return Column(path=tuple(hops), name=proper, known=at.fields.get(proper))

    def filtered(self, query: SelectQuery, entity: Entity, path: Path) -> Column:
        """Return a column to filter, sort or group by; raises `Refused` for an address field."""
        column = self.column(query, entity, path)
        if column.name.endswith("Address") and column.known is None:
            message = f"field '{column.name}' can not be filtered or sorted by in a query call"
            raise Refused("INVALID_FIELD", located(query.text, path.offset, message))
        return column

    def value(self, entity: Entity, record: Record, column: Column) -> Any:
        """Return the value of a column in a record, or `None` if a parent is missing."""
        for hop in column.path:
            found = self.parent(entity, record, hop)
            if found is None:
                return None
            entity, record = found
        name = self.schema.readable(entity, column.name)
        return None if name is None else read_field(entity, record, name)

    def parent(self, entity: Entity, record: Record, hop: Hop) -> tuple[Entity, Record] | None:
        """Return the parent of a record and its type, or `None`."""
        record_id = record.get(entity.field_name(hop.field) or hop.field)
        parent = self.schema.entity_of_id(record_id) if isinstance(record_id, str) else None
        found = self.records.get(parent, record_id) if parent and record_id else None
        return (parent, found) if parent and found else None

    def _reference(self, query: SelectQuery, entity: Entity, name: str, path: Path) -> Field:
        proper = self.schema.readable(entity, _reference_field(name))
        if proper is None:
            raise _unknown_hop(query, name, path)
        # A custom reference that was never used is empty in every record.
        return entity.fields.get(proper) or Field(name=proper, type="reference")

    def _target(self, query: SelectQuery, target: str, name: str, path: Path) -> Entity:
        try:
            return self.schema.entity(target)
        except Refused as error:
            raise _unknown_hop(query, name, path) from error

    def _field_name(self, query: SelectQuery, entity: Entity, name: str, path: Path) -> str:
        proper = self.schema.readable(entity, name)
        if proper is None:
            message = f"No such column '{name}' on entity '{entity.name}'. {_CUSTOM_FIELD} {_LOOK_UP}"
            raise Refused("INVALID_FIELD", located(query.text, path.offset, message))
        return proper


def _reference_field(name: str) -> str:
    return f"{name[:-3]}__c" if name.lower().endswith("__r") else f"{name}Id"


def _unknown_hop(query: SelectQuery, name: str, path: Path) -> Refused:
    message = f"Didn't understand relationship '{name}' in field path. {_CUSTOM_RELATIONSHIP} {_LOOK_UP}"
    return Refused("INVALID_FIELD", located(query.text, path.offset, message))


def unknown_relationship(query: SelectQuery) -> Refused:
    """Return the refusal of a subquery whose relationship the parent does not have."""
    message = (
        f"Didn't understand relationship '{query.source.text}' in FROM part of query call. "
        f"{_CUSTOM_RELATIONSHIP} {_LOOK_UP}"
    )
    return Refused("INVALID_TYPE", located(query.text, query.source.offset, message))
