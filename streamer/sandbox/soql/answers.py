"""Answers to a query: the rows as the REST API shows them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from streamer.sandbox.org.field_values import rest_value
from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.relationships import Child, children
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.soql.columns import Column, Scope, unknown_relationship
from streamer.sandbox.soql.groups import Groups
from streamer.sandbox.soql.syntax import FunctionCall, Path, Selected, SelectQuery
from streamer.sandbox.soql.tokens import malformed

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Context of a query: its scope, the time in epoch seconds, and whether it sees deleted records.

    `url` is the start of the address in each record's `attributes`.
    """

    scope: Scope
    now: float
    include_deleted: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedColumn:
    """One column of the answer, and its definition if known.

    `below` are the columns of a subquery.
    """

    name: str
    known: Field | None = None
    is_aggregate: bool = False
    below: tuple["SelectedColumn", ...] = ()


class ChildRun(Protocol):
    """The run of a subquery of children."""

    @property
    def columns(self) -> tuple[SelectedColumn, ...]:
        """The selected columns in order."""
        ...

    def rows_by_parent(self, field: str) -> dict[str, list[Row]]:
        """Return the rows by the id in `field`; the limit applies to each parent separately."""
        ...


RunChildren = Callable[[SelectQuery, Entity], ChildRun]
"""Prepares a subquery of the children of a type."""


class GroupAnswer:
    """Rows of an aggregate query, one for each group."""

    def __init__(self, groups: Groups) -> None:
        self._names = groups.names()
        self._items = [each.item for each in groups.query.selected if not isinstance(each.item, SelectQuery)]
        self._readers = [groups.reader_of_groups(item) for item in self._items]

    def columns(self) -> Iterator[SelectedColumn]:
        """Return the columns in order; a parent's columns begin with its relationship's name and a dot."""
        for name, item, reader in zip(self._names, self._items, self._readers, strict=True):
            aggregate = isinstance(item, FunctionCall) and item.is_aggregate
            yield SelectedColumn(name=name, known=reader.known, is_aggregate=aggregate)

    def rows(self, found: Iterable[Any]) -> list[Row]:
        """Return a row for each group."""
        return [self._row(group) for group in found]

    def _row(self, group: Sequence[Record]) -> Row:
        values = zip(self._names, self._readers, strict=True)
        shown = {name: rest_value(reader.known, reader.read(group)) for name, reader in values}
        return {"attributes": {"type": "AggregateResult"}, **shown}


class RecordAnswer:
    """Rows of a query for records, with their parents' fields and lists of their children."""

    def __init__(
        self,
        setting: Setting,
        query: SelectQuery,
        entity: Entity,
        selected: Iterable[Selected],
        run: RunChildren,
    ) -> None:
        """Check what is `selected`; raises `Refused` for unknown names."""
        self._url = setting.url
        self._scope = setting.scope
        self._query = query
        self._entity = entity
        self._run = run
        self._items = [self._item(each) for each in selected]

    def columns(self) -> Iterator[SelectedColumn]:
        """Return the columns in order; a parent's columns begin with its relationship's name and a dot."""
        for item in self._items:
            if isinstance(item, Column):
                yield SelectedColumn(name=item.dotted, known=item.known)
            else:
                yield SelectedColumn(name=item.name, is_aggregate=True, below=item.run.columns)

    def rows(self, found: Iterable[Any]) -> list[Row]:
        """Return a row for each record."""
        return [self._row(record) for record in found]

    def _item(self, selected: Selected) -> "Column | _Children":
        if isinstance(selected.item, SelectQuery):
            child = self._child(selected.item)
            return _Children(selected.item, child, self._run)
        if not isinstance(selected.item, Path) or selected.alias is not None:
            offset = (selected.alias or selected.item).offset
            raise malformed(self._query.text, offset, "only aggregate expressions use field aliasing")
        return self._scope.column(self._query, self._entity, selected.item)

    def _child(self, query: SelectQuery) -> Child:
        name = query.source.text.rpartition(".")[2].lower()
        known = children(self._scope.schema.entities, self._entity)
        found = next((each for each in known if (each.name or "").lower() == name), None)
        if found is None:
            raise unknown_relationship(query)
        return found

    def _row(self, record: Record) -> Row:
        row: Row = {"attributes": self._attributes(self._entity, record)}
        for item in self._items:
            if not isinstance(item, Column):
                row[item.name] = item.of(_key(record))
            elif item.path:
                self._add_parent(row, record, item)
            else:
                row[item.name] = rest_value(item.known, read_field(self._entity, record, item.name))
        return row

    def _add_parent(self, row: Row, record: Record, column: Column) -> None:
        entity = self._entity
        for hop in column.path:
            found = self._scope.parent(entity, record, hop)
            if found is None:
                row[hop.name] = None
                return
            entity, record = found
            row = row.setdefault(hop.name, {"attributes": self._attributes(entity, record)})
        name = self._scope.schema.readable(entity, column.name) or column.name
        known = entity.fields.get(name)
        visible = known is not None or name in entity.compounds
        row[name] = rest_value(known, read_field(entity, record, name)) if visible else None

    def _attributes(self, entity: Entity, record: Record) -> Mapping[str, str]:
        return {"type": entity.name, "url": f"{self._url}/sobjects/{entity.name}/{_key(record)}"}


def _key(record: Record) -> str:
    """Return the key in a record's address: its id or, for a definition of the schema, its DurableId."""
    return str(record.get("DurableId") or record["Id"])


class _Children:
    """A subquery of the children, which runs once for all parents."""

    def __init__(self, query: SelectQuery, child: Child, run: RunChildren) -> None:
        if query.counts or query.is_aggregate:
            message = "A subquery in a SELECT can select only fields, not aggregates"
            raise malformed(query.text, query.source.offset, message)
        self.name = str(child.name)
        self.run = run(query, child.entity)
        self._field = child.field

    def of(self, parent_id: str) -> Row | None:
        """Return the children of a parent in the form of a query's answer, or `None` without children."""
        rows = self._by_parent.get(parent_id)
        return {"totalSize": len(rows), "done": True, "records": rows} if rows else None

    @cached_property
    def _by_parent(self) -> dict[str, list[Row]]:
        return self.run.rows_by_parent(self._field)
