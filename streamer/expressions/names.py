"""Names at the top of the document that a JMESPath expression reads."""

from collections.abc import Iterable, Iterator
from typing import Any

import jmespath

WHOLE = "@"
"""Stands for the whole document, and so for every name."""

_FIELDS = ["data", "fields"]

# Their first child alone sees the document; the others see what it returns.
_CHAINS = frozenset(
    {
        *("subexpression", "index_expression", "pipe", "projection", "value_projection"),
        *("filter_projection", "flatten"),
    }
)


def names_read(expression: str) -> frozenset[str]:
    """Return the names that `expression` reads, with `WHOLE` if it reads the document as such.

    `expression` must compile.
    """
    return frozenset(_names(jmespath.compile(expression).parsed))


def reads_any(expression: str | None, names: Iterable[str]) -> bool:
    """Return true when `expression`, which must compile, reads one of `names`; they can be none."""
    wanted = {*names}
    return expression is not None and bool(wanted) and bool(names_read(expression) & {*wanted, WHOLE})


def nodes_at_top(node: Any) -> Iterator[Any]:
    """Yield `node` of a parsed JMESPath expression and those below it that see the whole document."""
    if node["type"] == "expref":
        # It is applied to the items of a list.
        return
    yield node
    children = node["children"]
    for child in children[:1] if node["type"] in _CHAINS else children:
        if isinstance(child, dict):
            yield from nodes_at_top(child)


def _names(node: Any) -> Iterator[str]:
    for each in nodes_at_top(node):
        if each["type"] == "field":
            yield each["value"]
        elif each["type"] in {"current", "identity"}:
            yield WHOLE


def fields_read(expression: str) -> frozenset[str]:
    """Return the names of the record's fields that `expression` reads as `data.fields.X`.

    `expression` must compile.
    """
    return frozenset(_fields(jmespath.compile(expression).parsed))


def _fields(node: Any) -> Iterator[str]:
    for each in nodes_at_top(node):
        path = list(_path(each))
        if path[: len(_FIELDS)] == _FIELDS:
            yield from path[len(_FIELDS) : len(_FIELDS) + 1]


def _path(node: Any) -> Iterator[str]:
    """Yield the names with which the path `node` begins."""
    if node["type"] == "field":
        yield node["value"]
    elif node["type"] == "subexpression":
        for child in node["children"]:
            yield from _path(child)
            if child["type"] != "field":
                return
    elif node["type"] in _CHAINS:
        yield from _path(node["children"][0])
