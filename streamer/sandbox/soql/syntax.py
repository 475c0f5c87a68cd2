"""Syntax tree of a SOQL query."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

AGGREGATES = frozenset({"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"})
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
"""Characters that are written in a text as a backslash and a letter."""


class LiteralKind(StrEnum):
    """The type of a literal."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"
    DATE = "date"
    DATETIME = "datetime"
    SPAN = "span"


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A value in a condition.

    A literal of the kind span is a date literal such as `TODAY` or `LAST_N_DAYS:3`, in
    upper case. `written` is the text in the query, without its quotes.
    """

    kind: LiteralKind
    value: str | float | bool | None
    written: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A name, or several names joined by dots, and the position in the query."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """A function of a field; the function's name is in upper case."""

    function: str
    argument: Path
    offset: int

    @property
    def is_aggregate(self) -> bool:
        """True for a function over many records."""
        return self.function in AGGREGATES


Operand = Path | FunctionCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`operand sign literal`, or an operand and several literals or a semi-join's subquery.

    Signs are `=` `!=` `<` `<=` `>` `>=` `like` `in` `includes`.
    """

    operand: Operand
    sign: str
    literals: tuple[Literal, ...] = ()
    subquery: "SelectQuery | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """Several conditions: with `all`, every condition must hold; otherwise, at least one must hold."""

    all: bool
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negation:
    """A condition that must not hold."""

    condition: "Condition"


Condition = Comparison | Junction | Negation


def comparisons(condition: Condition | None) -> Iterator[Comparison]:
    """Iterate over the comparisons of a condition, without those of its subqueries."""
    match condition:
        case Comparison():
            yield condition
        case Junction(conditions=several):
            for each in several:
                yield from comparisons(each)
        case Negation(condition=inner):
            yield from comparisons(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One item of a SELECT: a field, a function, or a subquery of the children."""

    item: "Operand | SelectQuery"
    alias: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBy:
    """One field or function to sort by."""

    operand: Operand
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectQuery:
    """A parsed SELECT.

    `text` is the whole query as it was written, even in a subquery. `source` is the
    type or, in a subquery of children, the relationship. `selected` is empty for
    `COUNT()`, and `every` is the argument of `FIELDS()`. `marks_viewed` is true for a
    query that ends with `FOR VIEW` or `FOR REFERENCE`.
    """

    text: str
    source: Path
    alias: str | None = None
    selected: tuple[Selected, ...] = ()
    every: str | None = None
    where: Condition | None = None
    group: tuple[Operand, ...] = ()
    having: Condition | None = None
    order: tuple[OrderBy, ...] = ()
    limit: int | None = None
    offset: int = 0
    marks_viewed: bool = False

    @property
    def has_more_than_conditions(self) -> bool:
        """True if the query groups, sorts, limits or marks its rows."""
        shapes = (self.group, self.having, self.order, self.limit is not None, self.offset, self.marks_viewed)
        return any(shapes)

    @property
    def counts(self) -> bool:
        """True for `COUNT()`, whose answer is a number without records."""
        return not self.selected and self.every is None

    @property
    def is_aggregate(self) -> bool:
        """True if each row of the answer stands for a group of records."""
        return bool(self.group) or any(isinstance(each.item, FunctionCall) for each in self.selected)
