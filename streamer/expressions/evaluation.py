"""Evaluates JMESPath by its specification, with functions that are compiled once for each expression.

These functions take a fifth of the time that jmespath's interpreter takes. Operations
on large values spend steps of a budget: a projection by the number of its items, and a
comparison or a function by the size of its operands.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from typing import Any

from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from streamer.expressions.bounds import begun, measured, steps_of
from streamer.expressions.functions import Functions
from streamer.expressions.functions.budget import ITEMS_A_STEP, LONG_TEXT

# A dictionary with `type`, `value` and `children`, which jmespath's parser creates.
Node = Any

Evaluate = Callable[[Any], Any]

_NUMBERS = frozenset({int, float})
_ORDERING: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_equals: Callable[[Any, Any], Any] = TreeInterpreter.COMPARATOR_FUNC["eq"]
_FALSE: tuple[Any, ...] = ("", [], {}, None)


def evaluation(expression: ParsedResult, functions: Functions) -> Evaluate:
    """Return a function that returns the value of `expression` over a document.

    Each evaluation has its own budget, and raises `LimitExceeded` when the budget
    is used up.
    """
    return begun(evaluating(expression, functions), functions.budget, expression)


def evaluating(expression: ParsedResult, functions: Functions) -> Evaluate:
    """Return a function like `evaluation`, but one that spends the budget of its caller."""
    return measured(Compiler(functions).made(expression.parsed), functions.budget, expression)


class Compiler:
    """Compiles each node of an expression into a function.

    A subclass can change the meaning of fields, operators and calls.
    """

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.budget = functions.budget
        self._makers: Mapping[str, Callable[[Node], Evaluate]] = {
            "literal": _literal,
            "field": self.field,
            "index": self.index,
            "slice": self._slice,
            **dict.fromkeys(("identity", "current"), _current),
            **dict.fromkeys(("subexpression", "index_expression", "pipe"), self._chain),
            "comparator": self.comparator,
            "not_expression": self.negation,
            "and_expression": self._both,
            "or_expression": self._either,
            "function_expression": self._call,
            "expref": self._reference,
            "flatten": self._flattening,
            "projection": self._projection,
            "value_projection": self._projection_of_values,
            "filter_projection": self._filter,
            "multi_select_list": self.selected_list,
            "multi_select_dict": self.selected_object,
        }

    def made(self, node: Node) -> Evaluate:
        """Return a function that evaluates `node`."""
        return self._makers[node["type"]](node)

    def field(self, node: Node) -> Evaluate:
        """Return a function that returns this field of an object."""
        name = node["value"]
        return lambda value: value.get(name) if isinstance(value, dict) else None

    def index(self, node: Node) -> Evaluate:
        """Return a function that returns this item of a list."""
        index = node["value"]
        return lambda value: value[index] if has_item(value, index) else None

    def comparator(self, node: Node) -> Evaluate:
        """Return a function that compares both sides."""
        left, right = (self.made(each) for each in node["children"])
        compare = self.comparison(node)
        return lambda document: compare(left(document), right(document))

    def negation(self, node: Node) -> Evaluate:
        """Return a function that returns true if the operand is false."""
        operand, is_false = self.made(node["children"][0]), self.is_false
        return lambda document: is_false(operand(document))

    def selected_list(self, node: Node) -> Evaluate:
        """Return a function that returns a list of several values."""
        items = [self.made(each) for each in node["children"]]
        return lambda value: None if value is None else [each(value) for each in items]

    def selected_object(self, node: Node) -> Evaluate:
        """Return a function that returns an object of several values."""
        parts = [(each["value"], self.made(each["children"][0])) for each in node["children"]]
        return lambda value: None if value is None else {name: part(value) for name, part in parts}

    def called(self, name: str) -> Callable[[list[Any]], Any]:
        """Return a function that calls the function `name` with arguments."""
        return self.functions.caller(name)

    def is_false(self, value: Any) -> bool:
        """Return whether JMESPath treats `value` as false; 0 is true."""
        return value is False or (value is not True and value in _FALSE)

    def kept(self, values: Iterable[Any]) -> list[Any]:
        """Return the values of a projection's items, except null values."""
        return [each for each in values if each is not None]

    def unprojected(self, _value: Any) -> Any:
        """Return the value of a projection whose operand is not a list or an object."""
        return None

    def comparison(self, node: Node) -> Callable[[Any, Any], Any]:
        """Return a function that compares two values with the comparator of `node`."""
        if (order := _ORDERING.get(node["value"])) is not None:
            return self._ordering(order)
        is_equal, budget = node["value"] == "eq", self.budget

        def compared(one: Any, other: Any) -> Any:
            if isinstance(one, str) or isinstance(other, str):
                if type(one) is type(other) and len(one) == len(other) > LONG_TEXT:
                    budget.compare(one)
                return (one == other) is is_equal
            if type(one) is type(other) and isinstance(one, list | dict) and len(one) == len(other):
                budget.compare(one)
            # For numbers and booleans, JMESPath and Python compare differently.
            return bool(_equals(one, other)) is is_equal

        return compared

    def _ordering(self, order: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
        budget = self.budget

        def compared(one: Any, other: Any) -> Any:
            if type(one) in _NUMBERS and type(other) in _NUMBERS:
                return order(one, other)
            if isinstance(one, str) and isinstance(other, str) and min(len(one), len(other)) > LONG_TEXT:
                budget.compare(one)
            return order(one, other) if _has_order(one) and _has_order(other) else None

        return compared

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

    def _reference(self, node: Node) -> Evaluate:
        (child,) = node["children"]
        # The expression is compiled by this class and not by a subclass: functions such as
        # sort_by handle null, but not the additional values of a subclass.
        expression = _Expression(Compiler(self.functions).made(child), steps_of(child, self.functions))
        return lambda _: expression

    def _projection(self, node: Node) -> Evaluate:
        base, item = map(self.made, node["children"])
        steps, spend = 1 + steps_of(node["children"][1], self.functions), self.budget.spend

        def found(document: Any) -> Any:
            items = base(document)
            if not isinstance(items, list):
                return self.unprojected(items)
            spend(len(items) * steps)
            return self.kept(map(item, items))

        return found

    def _projection_of_values(self, node: Node) -> Evaluate:
        base, item = map(self.made, node["children"])
        steps, spend = 1 + steps_of(node["children"][1], self.functions), self.budget.spend

        def found(document: Any) -> Any:
            value = base(document)
            if not isinstance(value, dict):
                return self.unprojected(value)
            spend(len(value) * steps)
            return self.kept(map(item, value.values()))

        return found

    def _filter(self, node: Node) -> Evaluate:
        base, item, condition = map(self.made, node["children"])
        steps = 1 + sum(steps_of(each, self.functions) for each in node["children"][1:])
        is_false, spend = self.is_false, self.budget.spend

        def found(document: Any) -> Any:
            items = base(document)
            if not isinstance(items, list):
                return self.unprojected(items)
            spend(len(items) * steps)
            return self.kept(item(each) for each in items if not is_false(condition(each)))

        return found

    def _flattening(self, node: Node) -> Evaluate:
        base, spend = self.made(node["children"][0]), self.budget.spend

        def found(document: Any) -> Any:
            items = base(document)
            if not isinstance(items, list):
                return self.unprojected(items)
            lengths = [len(each) if isinstance(each, list) else 1 for each in items]
            spend((len(items) + sum(lengths)) // ITEMS_A_STEP)
            parts = (each if isinstance(each, list) else (each,) for each in items)
            return [each for part in parts for each in part]

        return found

    def _slice(self, node: Node) -> Evaluate:
        part, spend = slice(*node["children"]), self.budget.spend

        def found(value: Any) -> Any:
            if not isinstance(value, list):
                return self.unprojected(value)
            items = value[part]
            spend(len(items) // ITEMS_A_STEP)
            return items

        return found


class _Expression:
    """Expression that a function applies to items; jmespath recognises its type by this class name."""

    expression = None

    def __init__(self, evaluate: Evaluate, steps: int) -> None:
        self._evaluate = evaluate
        self.steps = steps

    def visit(self, _expression: None, value: Any) -> Any:
        """Return the value of the expression over an item."""
        return self._evaluate(value)


def has_item(value: Any, index: int) -> bool:
    """Return true for a list with an item at `index`."""
    return isinstance(value, list) and -len(value) <= index < len(value)


def _has_order(value: Any) -> bool:
    return isinstance(value, str | Number) and not isinstance(value, bool)


def _current(_node: Node) -> Evaluate:
    return lambda value: value


def _literal(node: Node) -> Evaluate:
    value = node["value"]
    return lambda _: value
