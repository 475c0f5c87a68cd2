"""Query of a PushTopic, which selects records and the fields of their notifications."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streamer.sandbox.org.records import Record, RecordStore
from streamer.sandbox.org.schema import Entity, Schema
from streamer.sandbox.soql.answers import Setting
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.evaluator import QueryRun
from streamer.sandbox.soql.parser import parse
from streamer.sandbox.soql.syntax import Condition, Path, SelectQuery, comparisons
from streamer.sandbox.soql.tokens import malformed

_QUERIES_REMEMBERED = 256
_parsed = lru_cache(_QUERIES_REMEMBERED)(parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicQuery:
    """Query over one object, with plain fields and conditions.

    `selected` has the selected fields, and `filtered` has the fields in the conditions;
    for a compound field, they also have its parts.
    """

    run: QueryRun
    selected: frozenset[str]
    filtered: frozenset[str]

    @classmethod
    def of(cls, text: str, schema: Schema, records: RecordStore, now: float) -> "TopicQuery":
        """Return the query in `text`, at the time `now`.

        Raises `Refused` for a query that a topic can't have.
        """
        query = _parsed(text)
        _check(query)
        run = QueryRun(Setting(scope=Scope(schema=schema, records=records), now=now), query)
        entity = run.entity
        selected = (column.name for column in run.columns)
        filtered = (
            schema.readable(entity, path.text.rpartition(".")[2]) or path.text for path in _paths(query.where)
        )
        return cls(run=run, selected=_fields(entity, selected), filtered=_fields(entity, filtered))

    @property
    def entity(self) -> Entity:
        """The type of the selected records."""
        return self.run.entity

    def sobject(self, record: Record) -> dict[str, Any] | None:
        """Return the selected fields of a record, or `None` if it does not meet the conditions."""
        row = self.run.row(record)
        return None if row is None else {name: value for name, value in row.items() if name != "attributes"}


def _check(query: SelectQuery) -> None:
    plain = query.every is None and bool(query.selected)
    for each in query.selected:
        plain = plain and isinstance(each.item, Path) and each.alias is None and "." not in each.item.text
    if query.has_more_than_conditions or not plain:
        message = "the query of a PushTopic can only select fields of one object by conditions"
        raise malformed(query.text, query.source.offset, message)
    if any(each.subquery is not None for each in comparisons(query.where)):
        message = "the query of a PushTopic can't contain a subquery"
        raise malformed(query.text, query.source.offset, message)


def _fields(entity: Entity, names: Iterator[str]) -> frozenset[str]:
    found = set(names)
    return frozenset(found | {field for field, (compound, _) in entity.parts.items() if compound in found})


def _paths(where: Condition | None) -> Iterator[Path]:
    for each in comparisons(where):
        yield each.operand if isinstance(each.operand, Path) else each.operand.argument
