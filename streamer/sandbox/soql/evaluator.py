"""Evaluator of parsed SOQL queries over the org's records."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.field_values import parse_time, rest_value
from streamer.sandbox.org.org import Org
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.soql.locations import located_name
from streamer.sandbox.soql.parser import (
    Comparison,
    Condition,
    Junction,
    Kind,
    Literal,
    Negation,
    Order,
    Query,
)

Predicate = Callable[[Record], bool]
_MAX_OFFSET = 2000
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CUSTOM_FIELD = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
)
_CUSTOM_TYPE = (
    "If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
)
_LOOK_UP = "Please reference your WSDL or the describe call for the appropriate names."
_IDS = frozenset({"id", "reference"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A field of the queried type or of a parent.

    `path` holds the references to follow and `field` the last name. `known` is
    the field's definition where it is the queried type's own.
    """

    path: tuple[str, ...]
    field: str
    known: Field | None


class QueryRun:
    """One query over one type, with deleted records or without."""

    def __init__(self, org: Org, query: Query, *, include_deleted: bool = False, url: str = "") -> None:
        """Check the query against the schema; raises `Refused` for unknown names.

        `url` is the start of the address in each record's `attributes`.
        """
        self._org = org
        self._query = query
        self._deleted_too = include_deleted
        self._url = url
        self._entity = _entity(org, query)
        self._columns = [self._column(name) for name in self._names()]
        self._order = [(self._plain_column(order.field), order) for order in query.order]
        if query.offset > _MAX_OFFSET:
            raise Refused("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")

    @property
    def entity(self) -> Entity:
        """The queried type."""
        return self._entity

    @property
    def names(self) -> tuple[str, ...]:
        """Selected fields in order, those of a parent behind its relationship's name and a dot."""
        return tuple(
            ".".join((*asked.split(".")[-len(column.path) - 1 : -1], column.field))
            if column.path
            else column.field
            for column, asked in zip(self._columns, self._names(), strict=True)
        )

    def count(self) -> int:
        """Return the number of matching records."""
        return len(self._matching())

    def rows(self) -> list[dict[str, Any]]:
        """Return the matching records as the REST API shows them."""
        return [self._row(record) for record in self._matching()]

    def _matching(self) -> list[Record]:
        where = self._predicate(self._query.where) if self._query.where else None
        found = [
            record
            for record in self._org.records.all(self._entity)
            if (self._deleted_too or not record["IsDeleted"]) and (where is None or where(record))
        ]
        for column, order in reversed(self._order):
            found = self._sorted(found, column, order)
        end = None if self._query.limit is None else self._query.offset + self._query.limit
        return found[self._query.offset : end]

    def _names(self) -> tuple[str, ...]:
        if not self._query.fields or not self._query.fields[0].startswith("FIELDS("):
            return self._query.fields
        which = self._query.fields[0]
        custom = {name for name in self._entity.fields if name.endswith("__c")}
        if which == "FIELDS(CUSTOM)":
            return ("Id", *sorted(custom))
        return tuple(name for name in self._entity.fields if which == "FIELDS(ALL)" or name not in custom)

    def _column(self, dotted: str) -> _Column:
        *path, last = dotted.split(".")
        if path and path[0].lower() == self._entity.name.lower():
            path = path[1:]
        if path:
            references = tuple(_reference(hop) for hop in path)
            self._field_name(references[0])
            return _Column(path=references, field=last, known=None)
        field = self._field_name(last)
        return _Column(path=(), field=field, known=self._entity.fields.get(field))

    def _plain_column(self, dotted: str) -> _Column:
        column = self._column(dotted)
        if column.field.endswith("Address") and column.known is None:
            message = f"field '{column.field}' can not be filtered or sorted by in a query call"
            raise Refused("INVALID_FIELD", message)
        return column

    def _field_name(self, name: str) -> str:
        proper = self._org.schema.readable(self._entity, name)
        if proper is None:
            message = f"No such column '{name}' on entity '{self._entity.name}'. {_CUSTOM_FIELD} {_LOOK_UP}"
            raise Refused("INVALID_FIELD", located_name(self._query.text, name, message))
        return proper

    def _value(self, record: Record, column: _Column) -> Any:
        entity = self._entity
        for reference in column.path:
            found = self._parent(entity, record, reference)
            if found is None:
                return None
            entity, record = found
        return read_field(entity, record, entity.field_name(column.field) or column.field)

    def _parent(self, entity: Entity, record: Record, reference: str) -> tuple[Entity, Record] | None:
        record_id = record.get(entity.field_name(reference) or reference)
        parent = self._org.schema.entity_of_id(record_id) if isinstance(record_id, str) else None
        found = self._org.records.get(parent, record_id) if parent and record_id else None
        return (parent, found) if parent and found else None

    def _row(self, record: Record) -> dict[str, Any]:
        row: dict[str, Any] = {"attributes": self._attributes(self._entity, record)}
        for column, asked in zip(self._columns, self._names(), strict=True):
            if column.path:
                self._add_parent(row, record, column, asked.split(".")[-len(column.path) - 1 : -1])
            else:
                row[column.field] = rest_value(column.known, read_field(self._entity, record, column.field))
        return row

    def _add_parent(self, row: dict[str, Any], record: Record, column: _Column, hops: list[str]) -> None:
        entity = self._entity
        for reference, hop in zip(column.path, hops, strict=True):
            found = self._parent(entity, record, reference)
            if found is None:
                row[hop] = None
                return
            entity, record = found
            row = row.setdefault(hop, {"attributes": self._attributes(entity, record)})
        field = entity.field_name(column.field) or column.field
        row[field] = rest_value(entity.fields.get(field), read_field(entity, record, field))

    def _attributes(self, entity: Entity, record: Record) -> dict[str, str]:
        return {"type": entity.name, "url": f"{self._url}/sobjects/{entity.name}/{record['Id']}"}

    def _sorted(self, records: list[Record], column: _Column, order: Order) -> list[Record]:
        keyed = [(self._value(record, column), record) for record in records]
        empty = [record for value, record in keyed if value is None]
        filled = [(_folded(value), record) for value, record in keyed if value is not None]
        filled.sort(key=operator.itemgetter(0), reverse=order.descending)
        present = [record for _, record in filled]
        return present + empty if order.nulls_last else empty + present

    def _predicate(self, condition: Condition) -> Predicate:
        match condition:
            case Negation(condition=inner):
                holds = self._predicate(inner)
                return lambda record: not holds(record)
            case Junction(all=True, conditions=several):
                parts = [self._predicate(each) for each in several]
                return lambda record: all(part(record) for part in parts)
            case Junction(conditions=several):
                parts = [self._predicate(each) for each in several]
                return lambda record: any(part(record) for part in parts)
            case Comparison():
                return self._comparison(condition)

    def _comparison(self, condition: Comparison) -> Predicate:
        column = self._plain_column(condition.field)
        operands = [_operand(column, literal) for literal in condition.literals]
        if condition.sign == "in":
            wanted = {_folded(operand) for operand in operands}
            return lambda record: _folded(self._value(record, column)) in wanted
        if condition.sign == "like":
            pattern = _pattern(str(operands[0]))
            return lambda record: pattern.fullmatch(str(self._value(record, column) or "")) is not None
        wanted_one = _folded(operands[0])
        if condition.sign in {"=", "!="}:
            same = condition.sign == "="
            return lambda record: (_folded(self._value(record, column)) == wanted_one) is same
        return self._inequality(column, _COMPARE[condition.sign], wanted_one)

    def _inequality(self, column: _Column, compare: Callable[[Any, Any], bool], wanted: Any) -> Predicate:
        def holds(record: Record) -> bool:
            value = _folded(self._value(record, column))
            comparable = isinstance(value, str) == isinstance(wanted, str)
            return value is not None and wanted is not None and comparable and compare(value, wanted)

        return holds


def _entity(org: Org, query: Query) -> Entity:
    try:
        return org.schema.entity(query.type_name)
    except Refused as error:
        if error.code != not_found().code:
            raise
        message = f"sObject type '{query.type_name}' is not supported. {_CUSTOM_TYPE} {_LOOK_UP}"
        raise Refused("INVALID_TYPE", located_name(query.text, query.type_name, message)) from error


def _reference(hop: str) -> str:
    return f"{hop[:-3]}__c" if hop.lower().endswith("__r") else f"{hop}Id"


def _operand(column: _Column, literal: Literal) -> Any:
    kind = column.known.type if column.known else None
    if column.known is None or literal.kind is Kind.NULL:
        return literal.value
    quoted = literal.kind is Kind.TEXT
    if kind in {"date", "datetime"} and quoted:
        message = (
            f"value of filter criterion for field '{column.field}' must be of type {kind} "
            "and should not be enclosed in quotes"
        )
        raise Refused("INVALID_FIELD", message)
    if kind == "datetime":
        return parse_time(column.known, str(literal.value))
    if kind in _IDS and quoted:
        return normal_id(str(literal.value)) or literal.value
    return literal.value


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _pattern(like: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(each, re.escape(each)) for each in like), re.IGNORECASE | re.DOTALL)
