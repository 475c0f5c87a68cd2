"""Evaluator of parsed SOQL queries over the org's records."""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Entity, Field
from streamer.sandbox.soql.answers import GroupAnswer, RecordAnswer, Row, SelectedColumn, Setting
from streamer.sandbox.soql.conditions import Conditions, OperandReader
from streamer.sandbox.soql.groups import Groups
from streamer.sandbox.soql.syntax import Operand, OrderBy, Path, Selected, SelectQuery
from streamer.sandbox.soql.time_functions import time_part
from streamer.sandbox.soql.tokens import malformed

_MAX_OFFSET = 2000
_IDS = frozenset({"id", "reference"})
_TIMES = frozenset({"date", "datetime"})


class QueryRun:
    """One query over one type."""

    def __init__(self, setting: Setting, query: SelectQuery, entity: Entity | None = None) -> None:
        """Check the query against the schema; raises `Refused` for unknown names.

        For a subquery of children, `entity` is the children's type.
        """
        self._setting = setting
        self._scope = setting.scope
        self._query = query
        self._entity = entity or self._scope.entity(query)
        self._groups = Groups(query=query, reader=self._reader)
        if query.counts and query.group:
            raise malformed(query.text, query.source.offset, "COUNT() can't be grouped; COUNT(Id) can")
        if query.offset > _MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {_MAX_OFFSET}"
            raise Refused("NUMBER_OUTSIDE_VALID_RANGE", message)
        read = self._groups.reader_of_groups if query.is_aggregate else self._reader
        self._where = self._conditions(self._reader).predicate(query.where) if query.where else None
        self._having = self._conditions(read).predicate(query.having) if query.having else None
        self._order = [(read(order.operand), order) for order in query.order]
        if query.is_aggregate:
            self._groups.check()
            self._answer: GroupAnswer | RecordAnswer = GroupAnswer(self._groups)
        else:
            self._answer = RecordAnswer(setting, query, self._entity, self.selected(), self._children)

    @property
    def entity(self) -> Entity:
        """The queried type."""
        return self._entity

    @property
    def query(self) -> SelectQuery:
        """The query."""
        return self._query

    @property
    def columns(self) -> tuple[SelectedColumn, ...]:
        """The selected columns in order; a parent's columns begin with its relationship's name and a dot."""
        return tuple(self._answer.columns())

    def matching(self, records: Iterable[Record]) -> list[Record]:
        """Return the records among `records` (of the queried type) that meet the conditions."""
        return [
            record
            for record in records
            if (self._setting.include_deleted or not record["IsDeleted"])
            and (self._where is None or self._where(record))
        ]

    def arranged(self, found: list[Any]) -> list[Any]:
        """Return the matching records, or their groups, in order and within the query's limits."""
        for reader, order in reversed(self._order):
            found = _ordered(found, reader, order)
        return self._limited(found)

    def selected(self) -> Iterator[Selected]:
        """Iterate over the selected items; `FIELDS()` becomes its single fields."""
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

    def count(self) -> int:
        """Return the number of matching records."""
        return len(self._limited(self._matching()))

    def rows(self) -> list[Row]:
        """Return the rows of the answer in the form of the REST API."""
        return self._answer.rows(self.arranged(self._found()))

    def row(self, record: Record) -> Row | None:
        """Return the row of one record, even a deleted record; `None` if it does not meet the conditions."""
        meets = self._where is None or self._where(record)
        return self._answer.rows([record])[0] if meets else None

    def rows_by_parent(self, field: str) -> dict[str, list[Row]]:
        """Return the rows by the id in `field`; the limit applies to each parent separately."""
        by_parent: dict[str, list[Record]] = {}
        for record in self._found():
            by_parent.setdefault(record.get(field) or "", []).append(record)
        return {parent: self._answer.rows(self.arranged(found)) for parent, found in by_parent.items()}

    def ids(self) -> frozenset[str]:
        """Return the ids in the only column of a semi-join's subquery."""
        [reader] = [self._reader(each.item) for each in self._query.selected if isinstance(each.item, Path)]
        return frozenset(value for record in self._matching() if (value := reader.read(record)))

    def selects_ids(self) -> bool:
        """Return whether every selected column holds ids, as far as the schema knows."""
        return all(each.known is None or each.known.type in _IDS for each in self.columns)

    def _children(self, query: SelectQuery, entity: Entity) -> "QueryRun":
        return QueryRun(self._setting, query, entity)

    def _matching(self) -> list[Record]:
        return self.matching(self._scope.records.all(self._entity))

    def _found(self) -> list[Any]:
        """Return the matching records, or their groups."""
        found: list[Any] = self._matching()
        if not self._query.is_aggregate:
            return found
        groups = self._groups.of(found)
        return [group for group in groups if self._having is None or self._having(group)]

    def _limited(self, found: list[Any]) -> list[Any]:
        limit = self._query.limit
        return found[self._query.offset : None if limit is None else self._query.offset + limit]

    def _conditions(self, reader: Callable[[Operand], OperandReader]) -> Conditions:
        return Conditions(query=self._query, reader=reader, ids=self._semi_join, now=self._setting.now)

    def _reader(self, operand: Operand) -> OperandReader:
        path = operand if isinstance(operand, Path) else operand.argument
        column = self._scope.filtered(self._query, self._entity, path)

        def read(record: Record) -> Any:
            return self._scope.value(self._entity, record, column)

        if isinstance(operand, Path):
            return OperandReader(name=column.name, known=column.known, read=read)
        if operand.is_aggregate:
            message = "ORDER BY can use aggregates only in a query that groups or aggregates"
            raise malformed(self._query.text, operand.offset, message)
        function = operand.function
        if column.known is not None and column.known.type not in _TIMES:
            message = f"field {column.name} does not support the function {function}"
            raise malformed(self._query.text, operand.offset, message)
        kind = "date" if function == "DAY_ONLY" else "int"
        known = Field(name=column.name, type=kind)
        return OperandReader(
            name=column.name, known=known, read=lambda record: time_part(function, read(record))
        )

    def _semi_join(self, query: SelectQuery) -> frozenset[str]:
        setting = Setting(scope=self._scope, now=self._setting.now)
        run = QueryRun(setting, query)
        problem = None
        if run.entity.name == self._entity.name:
            problem = "The inner and outer selects should not be on the same object type"
        elif query.is_aggregate or query.order or query.limit is not None or len(query.selected) != 1:
            problem = "A semi join sub-select can only select one field by conditions"
        elif not isinstance(query.selected[0].item, Path) or not run.selects_ids():
            problem = "semi join sub-selects can only query id fields"
        if problem is not None:
            raise malformed(query.text, query.source.offset, problem)
        return run.ids()


def _ordered(rows: list[Any], reader: OperandReader, order: OrderBy) -> list[Any]:
    keyed = [(reader.folded(row), row) for row in rows]
    empty = [row for value, row in keyed if value is None]
    # If parents have several types, a field can be a text in one type and a number in another.
    filled = [((isinstance(value, str), value), row) for value, row in keyed if value is not None]
    filled.sort(key=operator.itemgetter(0), reverse=order.descending)
    present = [row for _, row in filled]
    return present + empty if order.nulls_last else empty + present
