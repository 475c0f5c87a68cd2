"""Evaluator of parsed SOQL queries over the org's records."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from streamer.sandbox.org.field_values import rest_value
from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.relationships import Child, children
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.soql.columns import Column, Scope, unknown_relationship
from streamer.sandbox.soql.conditions import Conditions, Reader
from streamer.sandbox.soql.groups import Groups
from streamer.sandbox.soql.syntax import Call, Operand, Order, Path, Query, Selected
from streamer.sandbox.soql.time_functions import time_part
from streamer.sandbox.soql.tokens import malformed

_MAX_OFFSET = 2000
_IDS = frozenset({"id", "reference"})
_TIMES = frozenset({"date", "datetime"})

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a query runs in: its scope, the time in epoch seconds, with deleted records or without.

    `url` is the start of the address in each record's `attributes`.
    """

    scope: Scope
    now: float
    include_deleted: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedColumn:
    """One column of the answer and its definition, where that is known.

    `below` are the columns of a subquery.
    """

    name: str
    known: Field | None = None
    is_aggregate: bool = False
    below: tuple["SelectedColumn", ...] = ()


class QueryRun:
    """One query over one type."""

    def __init__(self, setting: Setting, query: Query, entity: Entity | None = None) -> None:
        """Check the query against the schema; raises `Refused` for unknown names.

        A subquery of children gives their type as `entity`.
        """
        self._setting = setting
        self._scope = setting.scope
        self._query = query
        self._entity = entity or self._scope.entity(query)
        self._groups = Groups(query=query, reader=self._reader)
        if query.offset > _MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {_MAX_OFFSET}"
            raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message)
        read = self._groups.reader_of_groups if query.is_aggregate else self._reader
        self._where = self._conditions(self._reader).predicate(query.where) if query.where else None
        self._having = self._conditions(read).predicate(query.having) if query.having else None
        self._order = [(read(order.operand), order) for order in query.order]
        if query.is_aggregate:
            self._groups.check()
            self._answer: _Answer = _GroupAnswer(self._groups)
        else:
            self._answer = _RecordAnswer(self, list(self._selected()))

    @property
    def entity(self) -> Entity:
        """The queried type."""
        return self._entity

    @property
    def setting(self) -> Setting:
        """What the query runs in."""
        return self._setting

    @property
    def query(self) -> Query:
        """The query."""
        return self._query

    @property
    def columns(self) -> tuple[SelectedColumn, ...]:
        """The selected columns in order, those of a parent behind its relationship's name and a dot."""
        return tuple(self._answer.columns())

    def count(self) -> int:
        """Return the number of matching records."""
        return len(self._limited(self._matching()))

    def rows(self) -> list[Row]:
        """Return the answer's rows as the REST API shows them."""
        return self._answer.rows(self._limited(self._found()))

    def rows_by_parent(self, field: str) -> dict[str, list[Row]]:
        """Return the rows by the id in `field`, limited for each parent alone."""
        by_parent: dict[str, list[Record]] = {}
        for record in self._found():
            by_parent.setdefault(record.get(field) or "", []).append(record)
        return {parent: self._answer.rows(self._limited(found)) for parent, found in by_parent.items()}

    def ids(self) -> frozenset[str]:
        """Return the values of the one column of a semi-join's subquery, which holds ids."""
        [reader] = [self._reader(each.item) for each in self._query.selected if isinstance(each.item, Path)]
        return frozenset(value for record in self._matching() if (value := reader.read(record)))

    def column(self, path: Path) -> Column:
        """Return the column that a name stands for."""
        return self._scope.column(self._query, self._entity, path)

    def _matching(self) -> list[Record]:
        return [
            record
            for record in self._scope.records.all(self._entity)
            if (self._setting.include_deleted or not record["IsDeleted"])
            and (self._where is None or self._where(record))
        ]

    def _found(self) -> list[Any]:
        """Return the matching records, or their groups, in order."""
        found: list[Any] = self._matching()
        if self._query.is_aggregate:
            groups = self._groups.of(found)
            found = [group for group in groups if self._having is None or self._having(group)]
        for reader, order in reversed(self._order):
            found = _ordered(found, reader, order)
        return found

    def _limited(self, found: list[Any]) -> list[Any]:
        limit = self._query.limit
        return found[self._query.offset : None if limit is None else self._query.offset + limit]

    def _selected(self) -> Iterator[Selected]:
        yield from self._query.selected
        match self._query.every:
            case None:
                return
            case "CUSTOM":
                names = ["Id", *sorted(name for name in self._entity.fields if name.endswith("__c"))]
            case every:
                names = [n for n in self._entity.fields if every == "ALL" or not n.endswith("__c")]
        for name in names:
            yield Selected(item=Path(name, self._query.source.offset))

    def _conditions(self, reader: Callable[[Operand], Reader]) -> Conditions:
        return Conditions(query=self._query, reader=reader, ids=self._semi_join, now=self._setting.now)

    def _reader(self, operand: Operand) -> Reader:
        path = operand if isinstance(operand, Path) else operand.argument
        column = self._scope.filtered(self._query, self._entity, path)

        def read(record: Record) -> Any:
            return self._scope.value(self._entity, record, column)

        if isinstance(operand, Path):
            return Reader(name=column.name, known=column.known, read=read)
        if operand.is_aggregate:
            message = "Aggregates can't be sorted by where nothing is grouped or aggregated"
            raise malformed(self._query.text, operand.offset, message)
        function = operand.function
        if column.known is not None and column.known.type not in _TIMES:
            message = f"field {column.name} does not support the function {function}"
            raise malformed(self._query.text, operand.offset, message)
        kind = "date" if function == "DAY_ONLY" else "int"
        known = Field(name=column.name, type=kind)
        return Reader(name=column.name, known=known, read=lambda record: time_part(function, read(record)))

    def _semi_join(self, query: Query) -> frozenset[str]:
        setting = Setting(scope=self._scope, now=self._setting.now)
        run = QueryRun(setting, query)
        problem = None
        if run.entity.name == self._entity.name:
            problem = "The inner and outer selects should not be on the same object type"
        elif query.is_aggregate or query.order or query.limit is not None or len(query.selected) != 1:
            problem = "A semi join sub-select takes one field and conditions"
        elif not isinstance(query.selected[0].item, Path) or not run.selects_ids():
            problem = "semi join sub-selects can only query id fields"
        if problem is not None:
            raise malformed(query.text, query.source.offset, problem)
        return run.ids()

    def selects_ids(self) -> bool:
        """Return whether every selected column holds ids, as far as the schema knows."""
        return all(each.known is None or each.known.type in _IDS for each in self.columns)


class _GroupAnswer:
    """Rows of an aggregate query, one for each group."""

    def __init__(self, groups: Groups) -> None:
        self._names = groups.names()
        self._items = [each.item for each in groups.query.selected if not isinstance(each.item, Query)]
        self._readers = [groups.reader_of_groups(item) for item in self._items]

    def columns(self) -> Iterator[SelectedColumn]:
        for name, item, reader in zip(self._names, self._items, self._readers, strict=True):
            aggregate = isinstance(item, Call) and item.is_aggregate
            yield SelectedColumn(name=name, known=reader.known, is_aggregate=aggregate)

    def rows(self, found: Iterable[Any]) -> list[Row]:
        return [self._row(group) for group in found]

    def _row(self, group: Sequence[Record]) -> Row:
        values = zip(self._names, self._readers, strict=True)
        shown = {name: rest_value(reader.known, reader.read(group)) for name, reader in values}
        return {"attributes": {"type": "AggregateResult"}, **shown}


class _RecordAnswer:
    """Rows of a query for records, with fields of their parents and lists of their children."""

    def __init__(self, run: QueryRun, selected: Iterable[Selected]) -> None:
        self._run = run
        self._entity = run.entity
        self._scope = run.setting.scope
        self._items = [self._item(each) for each in selected]

    def columns(self) -> Iterator[SelectedColumn]:
        for item in self._items:
            if isinstance(item, Column):
                yield SelectedColumn(name=item.dotted, known=item.known)
            else:
                yield SelectedColumn(name=item.name, is_aggregate=True, below=item.run.columns)

    def rows(self, found: Iterable[Any]) -> list[Row]:
        return [self._row(record) for record in found]

    def _item(self, selected: Selected) -> "Column | _Children":
        if isinstance(selected.item, Query):
            return _Children(self._run.setting, selected.item, self._child(selected.item))
        if not isinstance(selected.item, Path) or selected.alias is not None:
            query, offset = self._run.query, (selected.alias or selected.item).offset
            raise malformed(query.text, offset, "only aggregate expressions use field aliasing")
        return self._run.column(selected.item)

    def _child(self, query: Query) -> Child:
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
                row[item.name] = item.of(record["Id"])
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
        return {"type": entity.name, "url": f"{self._run.setting.url}/sobjects/{entity.name}/{record['Id']}"}


_Answer = _GroupAnswer | _RecordAnswer


class _Children:
    """A subquery of the children, which runs once for all parents."""

    def __init__(self, setting: Setting, query: Query, child: Child) -> None:
        if query.counts or query.is_aggregate:
            message = "A subquery in a SELECT takes fields and no aggregates"
            raise malformed(query.text, query.source.offset, message)
        self.name = str(child.name)
        self.run = QueryRun(setting, query, child.entity)
        self._field = child.field

    def of(self, parent_id: str) -> Row | None:
        """Return the children of a parent as the answer to a query, `None` for none."""
        rows = self._by_parent.get(parent_id)
        return {"totalSize": len(rows), "done": True, "records": rows} if rows else None

    @cached_property
    def _by_parent(self) -> dict[str, list[Row]]:
        return self.run.rows_by_parent(self._field)


def _ordered(rows: list[Any], reader: Reader, order: Order) -> list[Any]:
    keyed = [(reader.folded(row), row) for row in rows]
    empty = [row for value, row in keyed if value is None]
    filled = [(value, row) for value, row in keyed if value is not None]
    filled.sort(key=operator.itemgetter(0), reverse=order.descending)
    present = [row for _, row in filled]
    return present + empty if order.nulls_last else empty + present
