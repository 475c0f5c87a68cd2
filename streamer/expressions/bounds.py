"""Limits an expression's steps and the size of the expression's values, for events of any size."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from jmespath.parser import ParsedResult

from streamer.expressions.functions import Budget, Functions
from streamer.expressions.functions.budget import LONG_TEXT

# A dictionary with `type`, `value` and `children`, which jmespath's parser creates.
Node = Any

Evaluate = Callable[[Any], Any]

MOST_COPIES = 1_000
"""Largest allowed size of a value in an expression, as a multiple of the size of the event."""

_MOST_MADE = 4_000_000
_FEW_COPIES = 16
_LETTERS_A_COPY = 64
_CHAINS = frozenset({"subexpression", "index_expression", "pipe", "projection", "value_projection"})
_SUMS = frozenset({"multi_select_list", "multi_select_dict", "key_val_pair", "function_expression"})
_PROJECTIONS = frozenset({"projection", "value_projection", "filter_projection"})
_SPENDING = frozenset(
    {*_PROJECTIONS, "function_expression", "flatten", "slice", "multi_select_list", "multi_select_dict"}
)


def begun(evaluate: Evaluate, budget: Budget, *expressions: ParsedResult) -> Evaluate:
    """Return a version of `evaluate` that begins each evaluation of `expressions` with a new budget.

    If nothing in the expressions spends steps, `evaluate` is returned unchanged.
    """
    if not any(_spends(each) for expression in expressions for each in _nodes(expression.parsed)):
        return evaluate

    def evaluated(document: Any) -> Any:
        budget.begin()
        return evaluate(document)

    return evaluated


def measured(evaluate: Evaluate, budget: Budget, expression: ParsedResult) -> Evaluate:
    """Return `evaluate`, which evaluates `expression`, with a limit for the size of its value.

    Copies of a value take no memory at first, but each copy is written out in full
    later. If `expression` copies little, `evaluate` is returned unchanged.
    """
    parsed = expression.parsed
    # In a projection, the results of functions, the literals and the values of tables repeat
    # for each item.
    repeats = any(node["type"] in _PROJECTIONS and any(_calls(node)) for node in _nodes(parsed))
    if not repeats and copies(parsed) <= _FEW_COPIES:
        return evaluate

    def found(document: Any) -> Any:
        value = evaluate(document)
        budget.extent(value, _MOST_MADE)
        return value

    return found


def steps_of(node: Node, functions: Functions) -> int:
    """Return the steps of one evaluation of `node`, without the steps that depend on the size of values."""
    children = [each for each in node["children"] if isinstance(each, dict)]
    if node["type"] == "expref":
        return 1
    own = functions.steps(node["value"]) if node["type"] == "function_expression" else 1
    # The steps for the items of a projection are not counted here, because the projection spends
    # them.
    inner = children[:1] if node["type"] in _PROJECTIONS else children
    return own + sum(steps_of(each, functions) for each in inner)


def copies(node: Node) -> float:
    """Return the largest possible size of a value in `node`, as a multiple of the event's size."""
    found = [1.0]
    return max(_size(node, found), *found)


def _size(node: Node, found: list[float]) -> float:
    """Return the factor for the value of `node`; raise `found[0]` to the largest factor within `node`."""
    kind = node["type"]
    if kind == "literal":
        return 1 + len(str(node["value"])) / _LETTERS_A_COPY
    sizes = [_size(each, found) for each in node["children"] if isinstance(each, dict)]
    calls_on_items = any(each["type"] == "expref" for each in node["children"] if isinstance(each, dict))
    if kind in _CHAINS or calls_on_items:
        size = math.prod(sizes)
    elif kind == "filter_projection":
        base, made, condition = sizes
        size = base * max(made, condition)
    else:
        size = sum(sizes) if kind in _SUMS else max(sizes, default=1.0)
    found[0] = max(found[0], size)
    return size


def _spends(node: Node) -> bool:
    """Return true for a node whose evaluation can spend steps."""
    if node["type"] == "comparator":
        return not any(map(_bounds_comparison, node["children"]))
    return node["type"] in _SPENDING


def _bounds_comparison(node: Node) -> bool:
    value = node["value"] if node["type"] == "literal" else []
    return not isinstance(value, list | dict) and len(str(value)) <= LONG_TEXT


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _calls(node: Node) -> Iterator[str]:
    return (each["value"] for each in _nodes(node) if each["type"] == "function_expression")
