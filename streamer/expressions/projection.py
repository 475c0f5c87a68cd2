"""Evaluates JMESPath so that absent fields differ from null, and lists the operands of a predicate."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

import jmespath
from jmespath.parser import ParsedResult

from streamer.events import JsonObject
from streamer.expressions.bounds import begun, measured
from streamer.expressions.evaluation import Compiler, Evaluate, has_item
from streamer.expressions.functions import Functions

# A dictionary with `type`, `value` and `children`, which jmespath's parser creates.
Node = Any

Project = Callable[[JsonObject], Any]


class _Absence(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absence.ABSENT
"""Value of an expression that reads a field which the event does not have."""

# These functions choose among their arguments, so an absent argument is ignored.
_CHOOSING = frozenset({"merge", "not_null"})


def projected(expression: ParsedResult, functions: Functions) -> Project:
    """Return a function that evaluates `expression`, and returns `ABSENT` for a field that is absent.

    The value of an operator or a function with an absent operand is absent. `||` and
    `not_null` replace an absent value in the same way as null. A projection drops
    absent values. A multi-select hash also drops absent values, and is absent if no
    value is left. A multi-select list with an absent item is absent. Each evaluation
    has its own budget, and raises `LimitExceeded` when the budget is used up.
    """
    return begun(projecting(expression, functions), functions.budget, expression)


def projecting(expression: ParsedResult, functions: Functions) -> Project:
    """Return a function like `projected`, but one that spends the budget of its caller."""
    return measured(_Compiler(functions).made(expression.parsed), functions.budget, expression)


def object_of(parts: dict[str, Project]) -> Project:
    """Return a function that projects `parts` into an object without absent parts.

    The value is absent if no part is left.
    """

    def project(document: JsonObject) -> Any:
        found = {name: part(document) for name, part in parts.items()}
        return _without_absent(found)

    return project


def list_of(items: list[Project]) -> Project:
    """Return a function that projects `items` into a list; absent if any item is absent."""

    def project(document: JsonObject) -> Any:
        return _whole([item(document) for item in items])

    return project


class _Compiler(Compiler):
    """Compiler whose functions handle `ABSENT` in addition to null."""

    def field(self, node: Node) -> Evaluate:
        name = node["value"]

        def found(value: Any) -> Any:
            if isinstance(value, dict):
                return value.get(name, ABSENT)
            # If a compound field is cleared, every part of the field is cleared.
            return None if value is None else ABSENT

        return found

    def index(self, node: Node) -> Evaluate:
        index = node["value"]

        def found(value: Any) -> Any:
            if has_item(value, index):
                return value[index]
            return None if value is None else ABSENT

        return found

    def comparator(self, node: Node) -> Evaluate:
        left, right = (self.made(each) for each in node["children"])
        compare = self.comparison(node)

        def compared(document: Any) -> Any:
            one, other = left(document), right(document)
            return ABSENT if one is ABSENT or other is ABSENT else compare(one, other)

        return compared

    def negation(self, node: Node) -> Evaluate:
        operand, is_false = self.made(node["children"][0]), self.is_false

        def negated(document: Any) -> Any:
            value = operand(document)
            return ABSENT if value is ABSENT else is_false(value)

        return negated

    def selected_list(self, node: Node) -> Evaluate:
        select = super().selected_list(node)
        return lambda value: ABSENT if value is ABSENT else _whole(select(value))

    def selected_object(self, node: Node) -> Evaluate:
        select = super().selected_object(node)
        return lambda value: ABSENT if value is ABSENT else _without_absent(select(value))

    def called(self, name: str) -> Callable[[list[Any]], Any]:
        call = self.functions.caller(name)

        def result(arguments: list[Any]) -> Any:
            carried = [argument for argument in arguments if argument is not ABSENT]
            if len(carried) < len(arguments) and not (carried and name in _CHOOSING):
                return ABSENT
            return call(carried)

        return result

    def is_false(self, value: Any) -> bool:
        return value is ABSENT or super().is_false(value)

    def kept(self, values: Iterable[Any]) -> list[Any]:
        return [each for each in values if each is not None and each is not ABSENT]

    def unprojected(self, value: Any) -> Any:
        return ABSENT if value is ABSENT else None


def _without_absent(found: dict[str, Any] | None) -> Any:
    if not found:
        return found
    carried = {name: value for name, value in found.items() if value is not ABSENT}
    return carried or ABSENT


def _whole(found: list[Any] | None) -> Any:
    return ABSENT if found and any(value is ABSENT for value in found) else found


def operands(expression: str, document: JsonObject) -> Mapping[str, Any]:
    """Return the value in `document` of each path that a valid `expression` reads, by path.

    A field that the event does not have has the value `ABSENT`.
    """
    functions = Functions()
    paths = dict.fromkeys(_paths(jmespath.compile(expression).parsed))
    return {path: projected(jmespath.compile(path), functions)(document) for path in paths}


def _paths(node: Node) -> Iterator[str]:
    """Yield the paths in `node` that are not within a projection, a filter or another path."""
    if (path := _path(node)) is not None:
        yield path
        return
    children = [each for each in node["children"] if isinstance(each, dict)]
    is_scope = node["type"].endswith("projection") or node["type"] in {"pipe", "subexpression", "expref"}
    for child in children[: 1 if is_scope else None]:
        if node["type"] != "expref":
            yield from _paths(child)


def _path(node: Node) -> str | None:
    """Return the path, such as `data.fields.Name`, if `node` is a path of names; otherwise `None`."""
    if node["type"] == "field":
        name = node["value"]
        return name if name.isidentifier() and name.isascii() else None
    if node["type"] != "subexpression":
        return None
    names = [_path(each) for each in node["children"]]
    return ".".join(name for name in names if name) if all(names) else None
