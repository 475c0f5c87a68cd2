"""Bounds of what an expression can make of an event, however large the event is."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from streamer.dispatch.attempt.functions import Functions
from streamer.dispatch.attempt.functions.extents import extent
from streamer.dispatch.attempt.functions.library import GROWING, MOST_MADE

# A dictionary with `type`, `value` and `children`, as jmespath's parser makes it.
Node = Any

MOST_COPIES = 1_000
"""As many times as large as an event can a value in an expression be."""

_FEW_COPIES = 16
_LETTERS_A_COPY = 64
_CHAINS = frozenset({"subexpression", "index_expression", "pipe", "projection", "value_projection"})
_SUMS = frozenset({"multi_select_list", "multi_select_dict", "key_val_pair", "function_expression"})
_PROJECTIONS = frozenset({"projection", "value_projection", "filter_projection"})


def bounded(parsed: Node, functions: Functions, evaluate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `evaluate`, the evaluation of `parsed`, bounded in what it makes.

    It raises `LimitExceeded`. An expression that copies nothing and calls no
    function with a long text is returned as it is.
    """
    makes_texts = any(
        node["type"] == "function_expression" and node["value"] in GROWING for node in _nodes(parsed)
    )
    # The texts of functions, the literals and what a table holds repeat with each item.
    repeats = any(node["type"] in _PROJECTIONS and any(_calls(node)) for node in _nodes(parsed))
    is_measured = repeats or copies(parsed) > _FEW_COPIES
    if not (makes_texts or is_measured):
        return evaluate

    def found(document: Any) -> Any:
        functions.begin()
        value = evaluate(document)
        if is_measured:
            extent(value, MOST_MADE)
        return value

    return found


def copies(node: Node) -> float:
    """Return how many times as large as an event a value in the expression `node` can be."""
    found = [1.0]
    return max(_size(node, found), *found)


def _size(node: Node, found: list[float]) -> float:
    """Return the same of the value of `node`; those of the values within it are added to `found`."""
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


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _nodes(child)


def _calls(node: Node) -> Iterator[str]:
    return (each["value"] for each in _nodes(node) if each["type"] == "function_expression")
