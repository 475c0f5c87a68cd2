"""Operands of a predicate: the fields that it looks at, with their values in one event."""

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath

from streamer.events import JsonObject
from streamer.expressions.functions import Functions
from streamer.expressions.projection import projected

# A dictionary with `type`, `value` and `children`, as jmespath's parser makes it.
Node = Any


def operands(expression: str, document: JsonObject) -> Mapping[str, Any]:
    """Return the value in `document` of each field at the top of a sound `expression`, by its path.

    A field that the event does not carry has the value `ABSENT`.
    """
    functions = Functions()
    paths = dict.fromkeys(_paths(jmespath.compile(expression).parsed))
    return {path: projected(jmespath.compile(path), functions)(document) for path in paths}


def _paths(node: Node) -> Iterator[str]:
    """Yield the paths of names that are not within a projection, a filter or another path."""
    if (path := _path(node)) is not None:
        yield path
        return
    children = [each for each in node["children"] if isinstance(each, dict)]
    is_scope = node["type"].endswith("projection") or node["type"] in {"pipe", "subexpression", "expref"}
    for child in children[: 1 if is_scope else None]:
        if node["type"] != "expref":
            yield from _paths(child)


def _path(node: Node) -> str | None:
    """Return the path that `node` is, such as `data.fields.Name`, or `None` for anything else."""
    if node["type"] == "field":
        name = node["value"]
        return name if name.isidentifier() and name.isascii() else None
    if node["type"] != "subexpression":
        return None
    names = [_path(each) for each in node["children"]]
    return ".".join(name for name in names if name) if all(names) else None
