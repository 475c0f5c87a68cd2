"""Names of upstream subscribers in expressions and templates."""

from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.nodes
import jmespath

RECEIPTS = "receipts"

_MEMBERS = (jinja2.nodes.Getattr, jinja2.nodes.Getitem)

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
    for node in jinja2.Environment(autoescape=True).parse(text).find_all(_MEMBERS):
        if not isinstance(node.node, jinja2.nodes.Name) or node.node.name != RECEIPTS:
            continue
        if isinstance(node, jinja2.nodes.Getattr):
            yield node.attr
        elif isinstance(node, jinja2.nodes.Getitem) and isinstance(node.arg, jinja2.nodes.Const):
            yield str(node.arg.value)


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
