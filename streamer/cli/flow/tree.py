"""Graph of a configuration as a tree of text."""

from collections.abc import Iterator

from rich.tree import Tree

from streamer.cli.flow.graph import Graph, Node, NodeKind
from streamer.cli.output import plain


def trees(graph: Graph) -> Iterator[Tree]:
    """Yield a tree for each channel.

    A node with several arrows to it stands with everything after it in the
    first place, and alone in the others.
    """
    drawn: set[Node] = set()
    for node in graph.nodes:
        if node.kind is NodeKind.CHANNEL:
            tree = Tree(plain(node.name))
            _grow(tree, node, graph, drawn)
            yield tree


def _grow(tree: Tree, node: Node, graph: Graph, drawn: set[Node]) -> None:
    drawn.add(node)
    for after in graph.after(node):
        told = ", ".join(filter(None, (after.note, after.when)))
        note = f" ({told})" if told else ""
        if after in drawn:
            tree.add(plain(f"{after.name}, as above"))
        else:
            _grow(tree.add(plain(f"{after.name}{note}")), after, graph, drawn)
