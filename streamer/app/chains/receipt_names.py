"""Names of upstream subscribers in expressions and templates."""

from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.nodes
import jmespath

RECEIPTS = "receipts"

# The first part is evaluated on the document, the others on what that gives.
_ONE_AFTER_THE_OTHER = frozenset(
    {
        "filter_projection",
        "flatten",
        "index_expression",
        "pipe",
        "projection",
        "subexpression",
        "value_projection",
    }
)


def receipts_in_expression(expression: str) -> Iterator[str]:
    """Yield the names in `receipts.NAME` of a JMESPath expression that compiles."""
    yield from _in_node(jmespath.compile(expression).parsed)


def receipts_in_template(text: str) -> Iterator[str]:
    """Yield the names in `receipts.NAME` and `receipts['NAME']` of a Jinja2 template."""
    parsed = jinja2.Environment(autoescape=True).parse(text)
    for attribute in parsed.find_all(jinja2.nodes.Getattr):
        if _are_receipts(attribute.node):
            yield attribute.attr
    for item in parsed.find_all(jinja2.nodes.Getitem):
        if _are_receipts(item.node) and isinstance(item.arg, jinja2.nodes.Const):
            yield str(item.arg.value)


def _are_receipts(node: jinja2.nodes.Node) -> bool:
    return isinstance(node, jinja2.nodes.Name) and node.name == RECEIPTS


def _in_node(node: Any) -> Iterator[str]:
    children = [child for child in node["children"] if isinstance(child, dict)]
    if node["type"] == "subexpression" and len(children) > 1:
        whole, member = children[:2]
        if _is_field(whole, RECEIPTS) and member["type"] == "field":
            yield member["value"]
    if node["type"] == "expref":
        return
    for child in children[:1] if node["type"] in _ONE_AFTER_THE_OTHER else children:
        yield from _in_node(child)


def _is_field(node: Any, name: str) -> bool:
    return bool(node["type"] == "field" and node["value"] == name)
