"""Evaluation of JMESPath as its specification has it, by functions that are made once of an expression.

The nodes of a usual predicate cost a fifth of what jmespath's interpreter
takes for them; the interpreter evaluates all others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jmespath.parser import ParsedResult
from jmespath.visitor import Options, TreeInterpreter

from streamer.dispatch.attempt.bounds import bounded
from streamer.dispatch.attempt.functions import Functions

# A dictionary with `type`, `value` and `children`, as jmespath's parser makes it.
Node = Any

Evaluate = Callable[[Any], Any]

_NUMBERS = frozenset({int, float})
_FALSE: tuple[Any, ...] = ("", [], {}, None)


def evaluation(expression: ParsedResult, functions: Functions) -> Evaluate:
    """Return a function that returns the value of `expression` over a document."""
    compiler = Compiler(TreeInterpreter(Options(custom_functions=functions)), functions)
    return bounded(expression.parsed, functions, compiler.made(expression.parsed))


class Compiler:
    """Makes a function of each node of an expression; `interpreter` evaluates the nodes of unusual kinds.

    Another meaning of fields, operators and calls is that of a subclass and of
    its interpreter.
    """

    def __init__(self, interpreter: TreeInterpreter, functions: Functions) -> None:
        self.functions = functions
        self._interpreter = interpreter
        self._makers: Mapping[str, Callable[[Node], Evaluate]] = {
            "literal": _literal,
            "field": self.field,
            "subexpression": self._chain,
            "pipe": self._chain,
            "comparator": self.comparator,
            "not_expression": self.negation,
            "and_expression": self._both,
            "or_expression": self._either,
            "function_expression": self._call,
        }

    def made(self, node: Node) -> Evaluate:
        """Return a function that evaluates `node`."""
        return self._makers.get(node["type"], self._interpreted)(node)

    def makes(self, node: Node) -> bool:
        """Return true for a node of a usual kind, which is evaluated without the interpreter."""
        return node["type"] in self._makers

    def field(self, node: Node) -> Evaluate:
        """Return a function that returns the field of an object."""
        name = node["value"]
        return lambda value: value.get(name) if isinstance(value, dict) else None

    def comparator(self, node: Node) -> Evaluate:
        """Return a function that compares both sides."""
        left, right = (self.made(each) for each in node["children"])
        compare = self.comparison(node)
        return lambda document: compare(left(document), right(document))

    def negation(self, node: Node) -> Evaluate:
        """Return a function that returns true for a false operand."""
        operand, is_false = self.made(node["children"][0]), self.is_false
        return lambda document: is_false(operand(document))

    def called(self, name: str) -> Callable[[list[Any]], Any]:
        """Return a function that calls the function `name` with arguments."""
        call = self.functions.call_function
        return lambda arguments: call(name, arguments)

    def is_false(self, value: Any) -> bool:
        """Return true for what JMESPath takes as false; 0 is true."""
        return value is False or (value is not True and value in _FALSE)

    def comparison(self, node: Node) -> Callable[[Any, Any], Any]:
        """Return a function that compares two values as the comparator `node` does."""
        compare = TreeInterpreter.COMPARATOR_FUNC[node["value"]]
        if node["value"] not in {"eq", "ne"}:
            return self._ordering(node)
        is_equal = node["value"] == "eq"

        def compared(one: Any, other: Any) -> Any:
            if isinstance(one, str) or isinstance(other, str):
                return (one == other) is is_equal
            # Numbers and booleans have rules of their own.
            return bool(compare(one, other))

        return compared

    def _ordering(self, node: Node) -> Callable[[Any, Any], Any]:
        compare, interpreter = TreeInterpreter.COMPARATOR_FUNC[node["value"]], self._interpreter

        def compared(one: Any, other: Any) -> Any:
            if type(one) in _NUMBERS and type(other) in _NUMBERS:
                return compare(one, other)
            sides = [{"type": "literal", "value": each, "children": []} for each in (one, other)]
            over_values: Any = {**node, "children": sides}
            return interpreter.visit_comparator(over_values, None)

        return compared

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

    def _both(self, node: Node) -> Evaluate:
        left, right = map(self.made, node["children"])
        is_false = self.is_false

        def found(document: Any) -> Any:
            value = left(document)
            return value if is_false(value) else right(document)

        return found

    def _either(self, node: Node) -> Evaluate:
        left, right = map(self.made, node["children"])
        is_false = self.is_false

        def found(document: Any) -> Any:
            value = left(document)
            return right(document) if is_false(value) else value

        return found

    def _call(self, node: Node) -> Evaluate:
        call, arguments = self.called(node["value"]), [self.made(each) for each in node["children"]]
        return lambda document: call([each(document) for each in arguments])


def _literal(node: Node) -> Evaluate:
    value = node["value"]
    return lambda _: value
