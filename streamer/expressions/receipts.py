"""Names of the receipts that an expression or a template reads."""

from collections.abc import Iterator
from typing import Any

import jinja2
import jmespath

from streamer.expressions.checks import nodes_at_top

RECEIPTS = "receipts"
"""Name under which expressions see the receipts of the subscribers before them."""


def receipts_in_expression(expression: str) -> Iterator[str]:
    """Yield the names in `receipts.NAME` of a valid JMESPath expression."""
    for node in nodes_at_top(jmespath.compile(expression).parsed):
        if node["type"] == "subexpression":
            whole, member, *_ = node["children"]
            if _is_field(whole, RECEIPTS) and member["type"] == "field":
                yield member["value"]


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


def _is_field(node: Any, name: str) -> bool:
    return bool(node["type"] == "field" and node["value"] == name)
