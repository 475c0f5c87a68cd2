"""Filter expressions of channel members, evaluated over the payloads of events.

A filter expression (CDC guide, filter expression format) has the conditions of a WHERE,
without IN, INCLUDES and semi-joins, over up to ten fields. A part of a compound field
has the name of this field before it, as in `BillingAddress.City`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field
from streamer.sandbox.soql.conditions import Conditions, OperandReader, Predicate
from streamer.sandbox.soql.parser import parse
from streamer.sandbox.soql.syntax import Condition, LiteralKind, Operand, Path, SelectQuery, comparisons

_HEADER = "ChangeEventHeader"
_LISTS = frozenset({"recordIds", "changedFields", "diffFields", "nulledFields"})
_SIGNS = frozenset({"=", "!=", "<", "<=", ">", ">=", "like"})
_MOST_CHARACTERS = 131_072
_MOST_FIELDS = 10

KnownField = Callable[[str], Field | None]
"""Function that returns the definition of a field by its dotted name.

Raises `Refused` for an unknown field.
"""


@dataclass(frozen=True, slots=True)
class PayloadFilter:
    """A checked filter expression."""

    text: str
    fields: tuple[str, ...]
    predicate: Predicate

    def matches(self, payload: Mapping[str, Any]) -> bool:
        """Return whether the expression holds for an event."""
        return self.predicate(payload)


def payload_filter(text: str, known: KnownField) -> PayloadFilter:
    """Return the filter of an expression; raises `Refused` if it is invalid."""
    if len(text) > _MOST_CHARACTERS:
        raise _refused(f"must have at most {_MOST_CHARACTERS:,} characters")
    query = parse(f"SELECT Id FROM Event WHERE {text}")  # noqa: S608 - parsed, and nothing but conditions
    if query.where is None or query.has_more_than_conditions:
        raise _refused("must consist only of conditions")
    names = dict.fromkeys(_names(query.where))
    if len(names) > _MOST_FIELDS:
        raise _refused(f"must name at most {_MOST_FIELDS} fields")

    def reader(operand: Operand) -> OperandReader:
        if not isinstance(operand, Path):
            raise _refused("must have no functions")
        return _reader(operand.text, known)

    conditions = Conditions(query=query, reader=reader, ids=_no_semi_join, now=0.0)
    predicate = conditions.predicate(query.where)
    tops = dict.fromkeys(name.partition(".")[0] for name in names)
    return PayloadFilter(text, tuple(name for name in tops if name != _HEADER), predicate)


def _reader(name: str, known: KnownField) -> OperandReader:
    top, _, part = name.partition(".")
    if top == _HEADER:
        if not part or part in _LISTS:
            raise _refused(f"can't use the field {name} in a comparison")
        return OperandReader(name=name, known=None, read=lambda payload: _within(payload, name))
    return OperandReader(name=name, known=known(name), read=lambda payload: _within(payload, name))


def _within(payload: Any, name: str) -> Any:
    for key in name.split("."):
        if not isinstance(payload, Mapping):
            return None
        # In a record, the names of an address's parts begin with a small letter.
        payload = payload.get(key, payload.get(key[:1].lower() + key[1:]))
    return payload


def _names(condition: Condition) -> Iterator[str]:
    for each in comparisons(condition):
        if each.sign not in _SIGNS or not isinstance(each.operand, Path):
            raise _refused("must compare fields with =, !=, <, <=, >, >= or LIKE")
        if any(literal.kind is LiteralKind.SPAN for literal in each.literals):
            raise _refused("must compare dates with dates, not with date literals")
        yield each.operand.text


def _no_semi_join(_query: SelectQuery) -> frozenset[str]:
    raise _refused("must have no subqueries")


def _refused(what: str) -> Refused:
    return Refused("FIELD_INTEGRITY_EXCEPTION", f"The filter expression {what}", fields=["filterExpression"])
