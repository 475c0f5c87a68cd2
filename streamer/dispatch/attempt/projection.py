"""Evaluation of JMESPath that tells a field which an event does not carry from one that is null."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from jmespath.parser import ParsedResult
from jmespath.visitor import Options, TreeInterpreter

from streamer.dispatch.attempt.bounds import bounded
from streamer.dispatch.attempt.evaluation import Compiler, Evaluate
from streamer.dispatch.attempt.functions import Functions
from streamer.events import JsonObject

# A dictionary with `type`, `value` and `children`, as jmespath's parser makes it.
Node = Any

Project = Callable[[JsonObject], Any]


class _Absence(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absence.ABSENT
"""Value of an expression that meets a field which the event does not carry."""

# They choose among their arguments, so an absent one leaves the others.
_CHOOSING = frozenset({"merge", "not_null"})


def projected(expression: ParsedResult, functions: Functions) -> Project:
    """Return a function that evaluates `expression`, and returns `ABSENT` for a field that is not carried.

    Absence passes through operators and functions. `||` and `not_null` replace
    it, as they replace null. A projection drops it, and so does a multi-select
    hash, which is absent itself when nothing is left. A multi-select list with
    an absent item is absent.
    """
    return bounded(expression.parsed, functions, _Compiler(functions).made(expression.parsed))


def object_of(parts: dict[str, Project]) -> Project:
    """Return a function that projects `parts`, without the absent ones; absent when none is left."""

    def project(document: JsonObject) -> Any:
        found = {name: part(document) for name, part in parts.items()}
        return _without_absent(found)

    return project


def list_of(items: list[Project]) -> Project:
    """Return a function that projects `items`; absent when one of them is: a list is sent whole."""

    def project(document: JsonObject) -> Any:
        return _whole([item(document) for item in items])

    return project


class _Compiler(Compiler):
    """Makes functions that know `ABSENT` beside null."""

    def __init__(self, functions: Functions) -> None:
        super().__init__(_Interpreter(self), functions)

    def field(self, node: Node) -> Evaluate:
        name = node["value"]

        def found(value: Any) -> Any:
            if isinstance(value, dict):
                return value.get(name, ABSENT)
            # A part of a cleared compound field is cleared too.
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

    def called(self, name: str) -> Callable[[list[Any]], Any]:
        call = self.functions.call_function

        def result(arguments: list[Any]) -> Any:
            carried = [argument for argument in arguments if argument is not ABSENT]
            if len(carried) < len(arguments) and not (carried and name in _CHOOSING):
                return ABSENT
            return call(name, carried)

        return result

    def is_false(self, value: Any) -> bool:
        return value is ABSENT or super().is_false(value)


class _Interpreter(TreeInterpreter):
    """JMESPath's interpreter of the nodes that `compiler` does not make, with `ABSENT` beside null."""

    def __init__(self, compiler: _Compiler) -> None:
        super().__init__()
        self._compiler = compiler
        # With the nodes, so that no other has their identity.
        self._made: dict[int, tuple[Node, Evaluate]] = {}

    def visit(self, node: Node, value: Any) -> Any:
        if (found := self._made.get(id(node))) is not None:
            return found[1](value)
        if node["type"] == "literal":
            # It can be made for this visit.
            return node["value"]
        if not self._compiler.makes(node):
            return super().visit(node, value)
        made = self._compiler.made(node)
        self._made[id(node)] = node, made
        return made(value)

    def visit_index(self, node: Node, value: Any) -> Any:
        if value is None or value is ABSENT:
            return value
        found = super().visit_index(node, value)
        return ABSENT if found is None and not _has(value, node["value"]) else found

    def visit_slice(self, node: Node, value: Any) -> Any:
        return ABSENT if value is ABSENT else super().visit_slice(node, value)

    def visit_expref(self, node: Node, value: Any) -> Any:
        expression = super().visit_expref(node, value)
        # Functions such as sort_by know null, but not absence.
        expression.interpreter = TreeInterpreter(Options(custom_functions=self._compiler.functions))
        return expression

    def visit_multi_select_dict(self, node: Node, value: Any) -> Any:
        return ABSENT if value is ABSENT else _without_absent(super().visit_multi_select_dict(node, value))

    def visit_multi_select_list(self, node: Node, value: Any) -> Any:
        return ABSENT if value is ABSENT else _whole(super().visit_multi_select_list(node, value))

    def visit_projection(self, node: Node, value: Any) -> Any:
        return self._over(super().visit_projection, node, value)

    def visit_filter_projection(self, node: Node, value: Any) -> Any:
        return self._over(super().visit_filter_projection, node, value)

    def visit_value_projection(self, node: Node, value: Any) -> Any:
        return self._over(super().visit_value_projection, node, value)

    def visit_flatten(self, node: Node, value: Any) -> Any:
        return self._over(super().visit_flatten, node, value)

    def _over(self, visit: Callable[[Node, Any], Any], node: Node, value: Any) -> Any:
        base, *rest = node["children"]
        found = self.visit(base, value)
        if found is ABSENT:
            return ABSENT
        projection = visit(_with(node, [_literal(found), *rest]), value)
        return None if projection is None else [each for each in projection if each is not ABSENT]

    def _is_false(self, value: Any) -> bool:
        return self._compiler.is_false(value)


def _with(node: Node, children: list[Node]) -> Node:
    return {**node, "children": children}


def _literal(value: Any) -> Node:
    return {"type": "literal", "value": value, "children": []}


def _has(value: Any, index: int) -> bool:
    return isinstance(value, list) and -len(value) <= index < len(value)


def _without_absent(found: dict[str, Any] | None) -> Any:
    if not found:
        return found
    carried = {name: value for name, value in found.items() if value is not ABSENT}
    return carried or ABSENT


def _whole(found: list[Any] | None) -> Any:
    return ABSENT if found and any(value is ABSENT for value in found) else found
