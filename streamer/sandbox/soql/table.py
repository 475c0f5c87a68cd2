"""Run of a query whose answer is a table: a row for each record, and a value for each column."""

from collections.abc import Callable, Iterable
from typing import Any

from streamer.sandbox.org.field_values import rest_value
from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.soql.answers import Setting
from streamer.sandbox.soql.columns import Column
from streamer.sandbox.soql.evaluator import QueryRun
from streamer.sandbox.soql.syntax import Path, SelectQuery

Cells = tuple[Any, ...]
"""The values of a row's columns."""


class TableRun:
    """One query for records, with fields of their parents, but without children and groups."""

    def __init__(self, setting: Setting, query: SelectQuery) -> None:
        """Check the query against the schema; raises `Refused` for unknown names.

        Selected items that are not fields become no columns.
        """
        self._run = QueryRun(setting, query)
        self._scope = setting.scope
        items = (each.item for each in self._run.selected())
        paths = (item for item in items if isinstance(item, Path))
        self.columns = [self._scope.column(query, self.entity, path) for path in paths]
        self._readers = [self._reader(column) for column in self.columns]

    @property
    def entity(self) -> Entity:
        """The queried type."""
        return self._run.entity

    @property
    def reads_parents(self) -> bool:
        """True if a column is a field of a parent."""
        return any(column.path for column in self.columns)

    def sort_columns(self) -> None:
        """Sort the columns by name."""
        self.columns.sort(key=lambda column: column.dotted)
        self._readers = [self._reader(column) for column in self.columns]

    def matching(self, records: Iterable[Record]) -> list[Record]:
        """Return the records among `records` (of the queried type) that meet the conditions."""
        return self._run.matching(records)

    def arranged(self, found: list[Record]) -> list[Record]:
        """Return the matching records in order and within the query's limits."""
        return self._run.arranged(found)

    def cells(self, record: Record) -> Cells:
        """Return the row of a record; times end with a `Z`."""
        return tuple(read(record) for read in self._readers)

    def _reader(self, column: Column) -> Callable[[Record], Any]:
        read, known = self._raw_reader(column), column.known
        if known is None or known.type == "datetime":
            return read
        return lambda record: rest_value(known, read(record))

    def _raw_reader(self, column: Column) -> Callable[[Record], Any]:
        entity, scope, name = self.entity, self._scope, column.name
        if column.path:
            return lambda record: scope.value(entity, record, column)
        if name in entity.compounds:
            return lambda record: read_field(entity, record, name)
        return lambda record: record.get(name)
