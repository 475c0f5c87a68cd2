"""Adds calls that count the work of a template to the parsed nodes of this template."""

from collections.abc import Iterator

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from streamer.expressions.functions.budget import CHARACTERS_A_STEP
from streamer.expressions.templates.environment import COMPARED, CONCATENATED, KEPT, STEP

_NODES_A_STEP = 2
_SMALL = (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict)


def counted(template: nodes.Template) -> nodes.Template:
    """Return `template` with counted loops, macros, comparisons, concatenations and slices."""
    counted_template: nodes.Template = _Counting().visit(template)
    return counted_template


class _Counting(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - by the name of the node
        return self._stepping(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - by the name of the node
        return self._stepping(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802 - by the name of the node
        return self._stepping(node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        operands = [node.expr, *(each.expr for each in node.ops)]
        is_search = any(each.op in {"in", "notin"} for each in node.ops)
        # A comparison with a constant number or text takes almost no time.
        if not is_search and any(isinstance(each, nodes.Const) for each in operands):
            return node
        if not isinstance(node.expr, _SMALL):
            node.expr = _filtered(node.expr, COMPARED)
        for each in node.ops:
            if not isinstance(each.expr, _SMALL):
                each.expr = _filtered(each.expr, COMPARED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), CONCATENATED)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _filtered(node, KEPT)
        if not isinstance(node.arg, nodes.Const):
            # A key is hashed, which can take long for a tuple of tuples.
            node.arg = _filtered(node.arg, COMPARED)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filtered(node.key, COMPARED)
        return node

    def _stepping(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        steps = _steps_of(node)
        self.generic_visit(node)
        step = _filtered(nodes.Const(steps, lineno=node.lineno), STEP)
        node.body = [nodes.ExprStmt(step, lineno=node.lineno), *node.body]
        return node


def _steps_of(node: nodes.Node) -> int:
    """Return the steps of one turn of a loop or one call of a macro, without the inner loops and macros."""
    steps, characters = 1, 0
    for each in _within(node):
        if isinstance(each, nodes.TemplateData):
            characters += len(each.data)
        steps += isinstance(each, nodes.Expr)
    return steps // _NODES_A_STEP + 1 + characters // CHARACTERS_A_STEP


def _within(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield the nodes within `node`, without the nodes within the inner loops and macros of `node`."""
    for child in node.iter_child_nodes():
        yield child
        if not isinstance(child, nodes.For | nodes.Macro | nodes.CallBlock):
            yield from _within(child)


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
