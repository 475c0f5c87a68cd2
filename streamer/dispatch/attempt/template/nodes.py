"""Nodes of a parsed template, with calls that count its work."""

from collections.abc import Iterator

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from streamer.dispatch.attempt.template.environment import COMPARED, CONCATENATED, KEPT, STEP

_SMALL = (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict)


def counted(template: nodes.Template) -> nodes.Template:
    """Return `template`, in which each loop, macro, comparison, concatenation and slice counts its work."""
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
        # What is compared with a number or a text takes no time.
        if not is_search and any(isinstance(each, nodes.Const) for each in operands):
            return node
        for each in node.ops:
            if not isinstance(each.expr, _SMALL):
                each.expr = _filtered(each.expr, COMPARED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), CONCATENATED)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - by the name of the node
        self.generic_visit(node)
        return _filtered(node, KEPT) if isinstance(node.arg, nodes.Slice) else node

    def _stepping(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        characters = sum(len(each.data) for each in _written_in(node))
        self.generic_visit(node)
        step = _filtered(nodes.Const(characters, lineno=node.lineno), STEP)
        node.body = [nodes.ExprStmt(step, lineno=node.lineno), *node.body]
        return node


def _written_in(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    """Yield what is written as it is in `node`, but not in the loops and macros in it."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.TemplateData):
            yield child
        elif not isinstance(child, nodes.For | nodes.Macro | nodes.CallBlock):
            yield from _written_in(child)


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
