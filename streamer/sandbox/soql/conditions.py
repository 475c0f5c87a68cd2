"""Conditions of a query, as predicates over its rows."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamer.sandbox.org.field_values import parse_time
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.soql.date_literals import span
from streamer.sandbox.soql.locations import located
from streamer.sandbox.soql.syntax import (
    ESCAPES,
    Comparison,
    Condition,
    Junction,
    Literal,
    LiteralKind,
    Negation,
    Operand,
    SelectQuery,
)
from streamer.sandbox.soql.tokens import malformed

Predicate = Callable[[Any], bool]
"""Predicate: true if a row, which is a record or a group of records, meets a condition."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_IDS = frozenset({"id", "reference"})
_NUMBERS = frozenset({"int", "double", "currency", "percent"})
_NO_TEXT = _IDS | _NUMBERS | {"boolean", "date", "datetime"}
_LIKE = re.compile(r"\\(.)|([%_])|(.)", re.DOTALL)
_WILD = {"%": ".*", "_": "."}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandReader:
    """The value of an operand in a row, and the operand's definition if it is known."""

    name: str
    known: Field | None
    read: Callable[[Any], Any]

    def folded(self, row: Any) -> Any:
        """Return the value in a form in which texts that differ only in letter case are equal."""
        return folded(self.read(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Builds the predicates of one query.

    `reader` resolves an operand, `ids` runs a semi-join's subquery, and `now`
    is in epoch seconds.
    """

    query: SelectQuery
    reader: Callable[[Operand], OperandReader]
    ids: Callable[[SelectQuery], frozenset[str]]
    now: float

    def predicate(self, condition: Condition, *, joined_by_or: bool = False) -> Predicate:
        """Return the predicate of a condition; raises `Refused` for an invalid condition."""
        match condition:
            case Negation(condition=inner):
                holds = self.predicate(inner, joined_by_or=joined_by_or)
                return lambda row: not holds(row)
            case Junction(all=True, conditions=several):
                parts = [self.predicate(each, joined_by_or=joined_by_or) for each in several]
                return lambda row: all(part(row) for part in parts)
            case Junction(conditions=several):
                parts = [self.predicate(each, joined_by_or=True) for each in several]
                return lambda row: any(part(row) for part in parts)
            case Comparison(subquery=None):
                return self._comparison(condition)
            case Comparison() if joined_by_or:
                message = "Semi join sub-selects are not allowed with the 'OR' operator"
                raise malformed(self.query.text, condition.operand.offset, message)
        return self._semi_join(condition)

    def _semi_join(self, condition: Comparison) -> Predicate:
        reader = self.reader(condition.operand)
        if condition.subquery is None or (reader.known and reader.known.type not in _IDS):
            message = "The left operand of a semi join must be an id or a reference"
            raise malformed(self.query.text, condition.operand.offset, message)
        ids = self.ids(condition.subquery)
        return lambda row: reader.read(row) in ids

    def _comparison(self, condition: Comparison) -> Predicate:
        reader = self.reader(condition.operand)
        for literal in condition.literals:
            self._check(condition, reader, literal)
        match condition.sign:
            case "in":
                return self._in(reader, condition.literals)
            case "like":
                pattern = _pattern(condition.literals[0].written)
                return lambda row: pattern.fullmatch(str(reader.read(row) or "")) is not None
            case "includes":
                wanted = [set(str(each.value).casefold().split(";")) for each in condition.literals]
                return lambda row: _includes(reader.folded(row), wanted)
            case "=":
                return self._same(reader, condition.literals[0])
            case "!=":
                same = self._same(reader, condition.literals[0])
                return lambda row: not same(row)
            case sign:
                return self._inequality(reader, sign, condition.literals[0])

    def _in(self, reader: OperandReader, literals: Sequence[Literal]) -> Predicate:
        spans = [self._same(reader, literal) for literal in literals if literal.kind is LiteralKind.SPAN]
        wanted = {
            folded(_value(reader, literal)) for literal in literals if literal.kind is not LiteralKind.SPAN
        }
        return lambda row: reader.folded(row) in wanted or any(within(row) for within in spans)

    def _same(self, reader: OperandReader, literal: Literal) -> Predicate:
        if literal.kind is LiteralKind.SPAN:
            start, end = self._span(literal)
            return lambda row: isinstance(value := reader.folded(row), str) and start <= value < end
        wanted = folded(_value(reader, literal))
        return lambda row: reader.folded(row) == wanted

    def _inequality(self, reader: OperandReader, sign: str, literal: Literal) -> Predicate:
        if literal.kind is LiteralKind.SPAN:
            start, end = self._span(literal)
            # The end of the span is exclusive: `>` means at its end or later, and `<=` means before its end.
            edge, compare = {
                "<": (start, operator.lt),
                "<=": (end, operator.lt),
                ">": (end, operator.ge),
                ">=": (start, operator.ge),
            }[sign]
        else:
            edge, compare = folded(_value(reader, literal)), _COMPARE[sign]
        return lambda row: _compares(reader.folded(row), compare, edge)

    def _span(self, literal: Literal) -> tuple[str, str]:
        """Return the limits of a date literal, as texts that can be compared with stored dates and times."""
        today = datetime.fromtimestamp(self.now, UTC).date()
        try:
            start, end = span(str(literal.value), today)
        except (OverflowError, ValueError) as error:
            raise Refused("INVALID_FIELD", f"{literal.value} is not a date of the calendar") from error
        return start.isoformat(), end.isoformat()

    def _check(self, condition: Comparison, reader: OperandReader, literal: Literal) -> None:
        kind = reader.known.type if reader.known else None
        problem = None
        if condition.sign == "like" and literal.kind is not LiteralKind.TEXT:
            problem = f"value of filter criterion for field '{reader.name}' must be of type string"
        elif not _takes(reader, condition.sign):
            problem = f"invalid operator on {kind} field"
        elif kind is not None and not _suits(kind, literal.kind):
            wanted = "dateTime" if kind == "datetime" else "string" if kind not in _NO_TEXT else kind
            quoted = "should" if kind in _IDS or wanted == "string" else "should not"
            problem = (
                f"value of filter criterion for field '{reader.name}' must be of type {wanted} "
                f"and {quoted} be enclosed in quotes"
            )
        if problem:
            raise Refused("INVALID_FIELD", located(self.query.text, condition.operand.offset, problem))


def folded(value: Any) -> Any:
    """Return a value in a form in which texts that differ only in letter case are equal.

    `None` for an address.
    """
    if isinstance(value, str):
        return value.casefold()
    return None if isinstance(value, dict) else value


def _takes(reader: OperandReader, sign: str) -> bool:
    if sign == "like":
        return reader.known is None or reader.known.type not in _NO_TEXT
    return sign != "includes" or _holds_choices(reader)


def _holds_choices(reader: OperandReader) -> bool:
    if reader.known is not None and (reader.known.declared or reader.known.type == "multipicklist"):
        return reader.known.type == "multipicklist"
    # Any undeclared custom text field can be a multi-select picklist.
    return (reader.known is None or reader.known.type == "string") and reader.name.endswith("__c")


def _suits(kind: str, literal: LiteralKind) -> bool:
    if literal is LiteralKind.NULL:
        return True
    match kind:
        case "date":
            return literal in {LiteralKind.DATE, LiteralKind.SPAN}
        case "datetime":
            return literal in {LiteralKind.DATETIME, LiteralKind.SPAN}
        case "boolean":
            return literal is LiteralKind.BOOLEAN
        case number if number in _NUMBERS:
            return literal is LiteralKind.NUMBER
    return literal is LiteralKind.TEXT


def _value(reader: OperandReader, literal: Literal) -> Any:
    kind = reader.known.type if reader.known else None
    if reader.known is not None and literal.kind is LiteralKind.DATETIME:
        return parse_time(reader.known, str(literal.value))
    if kind in _IDS and literal.kind is LiteralKind.TEXT:
        return normal_id(str(literal.value)) or literal.value
    return literal.value


def _compares(value: Any, compare: Callable[[Any, Any], bool], edge: Any) -> bool:
    comparable = isinstance(value, str) == isinstance(edge, str)
    return value is not None and edge is not None and comparable and compare(value, edge)


def _includes(value: Any, wanted: list[set[str]]) -> bool:
    chosen = set(value.split(";")) if isinstance(value, str) else set()
    return any(each <= chosen for each in wanted)


def _pattern(like: str) -> re.Pattern[str]:
    # A backslash before a wildcard makes it a plain character.
    parts = (
        _WILD[wild] if wild else re.escape(ESCAPES.get(escaped, escaped) or plain)
        for escaped, wild, plain in _LIKE.findall(like)
    )
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
