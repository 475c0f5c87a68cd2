"""Evaluation of JMESPath as its specification has it, by functions that are made once of an expression.

The nodes of a usual predicate cost a fifth of what jmespath's interpreter
takes for them; the interpreter evaluates all others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jmespath.parser import ParsedResult
from jmespath.visitor import Options, TreeInterpreter

from streamer.dispatch.attempt.functions import Functions

# A dictionary with `type`, `value` and `children`, as jmespath's parser makes it.
Node = Any

Evaluate = Callable[[Any], Any]

_NUMBERS = frozenset({int, float})
_FALSE: tuple[Any, ...] = ("", [], {}, None)


def evaluation(expression: ParsedResult, functions: Functions) -> Evaluate:
    """Return a function that returns the value of `expression` over a document."""
    return _Compiling(functions).made(expression.parsed)


class _Compiling:
    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._interpreter = TreeInterpreter(Options(custom_functions=functions))
        self._makers: Mapping[str, Callable[[Node], Evaluate]] = {
            "literal": _literal,
            "field": _field,
            "subexpression": self._chain,
            "pipe": self._chain,
            "comparator": self._comparator,
            "and_expression": lambda node: _both(*map(self.made, node["children"])),
            "or_expression": lambda node: _either(*map(self.made, node["children"])),
            "function_expression": self._call,
        }

    def made(self, node: Node) -> Evaluate:
        """Return a function that evaluates `node`."""
        return self._makers.get(node["type"], self._interpreted)(node)

    def _interpreted(self, node: Node) -> Evaluate:
        interpreter = self._interpreter
        return lambda document: interpreter.visit(node, document)

    def _chain(self, node: Node) -> Evaluate:
        first, *others = (self.made(each) for each in node["children"])

        def found(document: Any) -> Any:
            value = first(document)
            for each in others:
                value = each(value)
            return value

        return found

    def _comparator(self, node: Node) -> Evaluate:
        left, right = (self.made(each) for each in node["children"])
        compare = TreeInterpreter.COMPARATOR_FUNC[node["value"]]
        if node["value"] not in {"eq", "ne"}:
            return self._ordering(node, left, right)
        is_equal = node["value"] == "eq"

        def compared(document: Any) -> Any:
            one, other = left(document), right(document)
            if isinstance(one, str) or isinstance(other, str):
                return (one == other) is is_equal
            # Numbers and booleans have rules of their own.
            return bool(compare(one, other))

        return compared

    def _ordering(self, node: Node, left: Evaluate, right: Evaluate) -> Evaluate:
        compare, interpreter = TreeInterpreter.COMPARATOR_FUNC[node["value"]], self._interpreter

        def compared(document: Any) -> Any:
            one, other = left(document), right(document)
            if type(one) in _NUMBERS and type(other) in _NUMBERS:
                return compare(one, other)
            sides = [{"type": "literal", "value": each, "children": []} for each in (one, other)]
            over_values: Any = {**node, "children": sides}
            return interpreter.visit_comparator(over_values, document)

        return compared

    def _call(self, node: Node) -> Evaluate:
        if any(each["type"] == "expref" for each in node["children"]):
            return self._interpreted(node)
        name, arguments = node["value"], [self.made(each) for each in node["children"]]
        call = self._functions.call_function
        return lambda document: call(name, [each(document) for each in arguments])


def _literal(node: Node) -> Evaluate:
    value = node["value"]
    return lambda _: value


def _field(node: Node) -> Evaluate:
    name = node["value"]
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _both(left: Evaluate, right: Evaluate) -> Evaluate:
    def found(document: Any) -> Any:
        value = left(document)
        return value if _is_false(value) else right(document)

    return found


def _either(left: Evaluate, right: Evaluate) -> Evaluate:
    def found(document: Any) -> Any:
        value = left(document)
        return right(document) if _is_false(value) else value

    return found


def _is_false(value: Any) -> bool:
    # 0 is true in JMESPath.
    return value is False or (value is not True and value in _FALSE)
