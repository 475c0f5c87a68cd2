"""Aggregate queries: groups of records, and the values of functions over each group."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.soql.conditions import OperandReader, folded
from streamer.sandbox.soql.locations import located
from streamer.sandbox.soql.syntax import FunctionCall, Operand, SelectQuery
from streamer.sandbox.soql.tokens import malformed

_NUMBERS = frozenset({"int", "double", "currency", "percent"})
_NOT_GROUPED = _NUMBERS | {"textarea", "address", "datetime"}
_NO_EXTREMES = frozenset({"boolean", "textarea", "address"})

Group = Sequence[Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups the records of one query, and reads the selected values of each group.

    `reader` resolves a field of one record, or a function of a date field.
    """

    query: SelectQuery
    reader: Callable[[Operand], OperandReader]

    def check(self) -> None:
        """Raise `Refused` if the query groups by a field that does not support grouping."""
        for operand in self.query.group:
            known = self.reader(operand).known
            if not isinstance(operand, FunctionCall) and known is not None and known.type in _NOT_GROUPED:
                message = f"field '{known.name}' can not be grouped in a query call"
                raise malformed(self.query.text, operand.offset, message)

    def of(self, records: Iterable[Record]) -> list[Group]:
        """Return the groups; without a GROUP BY, all records are one group."""
        if not self.query.group:
            return [list(records)]
        readers = [self.reader(operand) for operand in self.query.group]
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for record in records:
            groups.setdefault(tuple(reader.folded(record) for reader in readers), []).append(record)
        return list(groups.values())

    def reader_of_groups(self, operand: Operand) -> OperandReader:
        """Return the reader of an aggregate, or of a value by which the query groups."""
        if isinstance(operand, FunctionCall) and operand.is_aggregate:
            return self._aggregate(operand)
        wanted = _key(operand)
        inner = self.reader(operand)
        if wanted not in {_key(each) for each in self.query.group}:
            shown = operand.argument if isinstance(operand, FunctionCall) else operand
            message = f"Field must be grouped or aggregated: {shown.text}"
            raise malformed(self.query.text, operand.offset, message)
        return OperandReader(name=inner.name, known=inner.known, read=lambda group: inner.read(group[0]))

    def names(self) -> list[str]:
        """Return the names of the selected columns: aliases, field names, or `expr0` and so on."""
        names, expressions = list[str](), 0
        for selected in self.query.selected:
            if selected.alias is not None:
                names.append(selected.alias.text)
            elif isinstance(selected.item, FunctionCall):
                names.append(f"expr{expressions}")
                expressions += 1
            elif isinstance(selected.item, SelectQuery):
                message = "An aggregate query can't select a relationship"
                raise malformed(self.query.text, selected.item.source.offset, message)
            else:
                names.append(self.reader(selected.item).name)
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate is not None:
            place = self.query.selected[len(names) - 1 - names[::-1].index(duplicate)]
            offset = place.alias.offset if place.alias else self.query.source.offset
            raise malformed(self.query.text, offset, f"duplicate alias: {duplicate}")
        return names

    def _aggregate(self, call: FunctionCall) -> OperandReader:
        inner = self.reader(call.argument)
        kind = inner.known.type if inner.known else None
        unfit = kind is not None and (
            (call.function in {"SUM", "AVG"} and kind not in _NUMBERS)
            or (call.function in {"MIN", "MAX"} and kind in _NO_EXTREMES)
        )
        if unfit:
            message = f"field {inner.name} does not support aggregate operator {call.function}"
            raise Refused("MALFORMED_QUERY", located(self.query.text, call.argument.offset, message))
        return OperandReader(
            name=inner.name,
            known=_result(call.function, inner),
            read=lambda group: _reduced(call.function, inner, group),
        )


def _key(operand: Operand) -> tuple[str, str]:
    if isinstance(operand, FunctionCall):
        return operand.function, operand.argument.text.lower()
    return "", operand.text.lower()


def _result(function: str, inner: OperandReader) -> Field | None:
    match function:
        case "COUNT" | "COUNT_DISTINCT":
            return Field(name=inner.name, type="int")
        case "AVG":
            return Field(name=inner.name, type="double")
    return inner.known


def _reduced(function: str, inner: OperandReader, group: Group) -> Any:
    values = [value for record in group if (value := inner.read(record)) is not None]
    match function:
        case "COUNT":
            return len(values)
        case "COUNT_DISTINCT":
            return len({folded(value) for value in values})
        case "SUM" | "AVG":
            # If a parent can have several types, a field can be a number in one type and a text in another.
            values = [value for value in values if isinstance(value, int | float)]
    return _FUNCTIONS[function](values) if values else None


def _sorting(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), folded(value)


_FUNCTIONS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": lambda values: min(values, key=_sorting),
    "MAX": lambda values: max(values, key=_sorting),
}
