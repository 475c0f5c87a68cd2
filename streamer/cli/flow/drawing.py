"""Graph of a configuration as an SVG drawing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from streamer.cli.flow.graph import Graph, Node, NodeKind, shortened

_CHARACTER = 7.3
_BOX_HEIGHT = 44
_LINE = 16
_SPACE = 20
_GAP = 70
_MARGIN = 20
_LEAST_WIDTH = 120.0
_FILLS = {NodeKind.CHANNEL: "#dbeafe", NodeKind.TYPE: "#f1f5f9", NodeKind.SUBSCRIBER: "#dcfce7"}
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
    'viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace, Menlo, Consolas, monospace" '
    'font-size="12">'
)
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Place of a node, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


def svg(graph: Graph) -> str:
    """Return the drawing: a column for each step, from the channels on the left to the last subscribers."""
    boxes = _places(graph)
    width = max((box.left + box.width for box in boxes.values()), default=0) + _MARGIN
    height = max((box.top + box.height for box in boxes.values()), default=0) + _MARGIN
    lines = [_HEAD.format(width=width, height=height), _ARROW, *_parts(graph, boxes), "</svg>", ""]
    return "\n".join(lines)


def _places(graph: Graph) -> Mapping[Node, _Box]:
    columns: dict[int, list[Node]] = {}
    for node, depth in graph.depths().items():
        columns.setdefault(depth, []).append(node)
    boxes: dict[Node, _Box] = {}
    left: float = _MARGIN
    for _, nodes in sorted(columns.items()):
        width = max(_LEAST_WIDTH, *(_width(node) for node in nodes))
        row = 0.0
        # Beside those that lead to them, where there is room.
        for height, node in sorted(((_wanted(node, graph, boxes), node) for node in nodes), key=_by_height):
            top = max(row, height)
            box = boxes[node] = _Box(left=left, top=_MARGIN + top, width=width, height=_height(node))
            row = top + box.height + _SPACE
        left += width + _GAP
    return boxes


def _by_height(placed: tuple[float, Node]) -> float:
    return placed[0]


def _wanted(node: Node, graph: Graph, boxes: Mapping[Node, _Box]) -> float:
    tops = [boxes[tail].top - _MARGIN for tail in graph.before(node) if tail in boxes]
    return sum(tops) / len(tops) if tops else 0.0


def _width(node: Node) -> float:
    longest = max(len(shortened(each)) for each in (node.name, node.note, node.when))
    return longest * _CHARACTER + 2 * _MARGIN


def _height(node: Node) -> float:
    return _BOX_HEIGHT + (_LINE if node.when else 0)


def _parts(graph: Graph, boxes: Mapping[Node, _Box]) -> Iterator[str]:
    for tail, head in graph.arrows:
        begin, end = boxes[tail], boxes[head]
        right = begin.left + begin.width
        half = (right + end.left) / 2
        yield (
            f'<path d="M{right:.0f} {begin.middle:.0f}C{half:.0f} {begin.middle:.0f} {half:.0f} '
            f'{end.middle:.0f} {end.left:.0f} {end.middle:.0f}" fill="none" stroke="#64748b" '
            'marker-end="url(#arrow)"/>'
        )
    for node, box in boxes.items():
        yield from _box(node, box)


def _box(node: Node, box: _Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.left:.0f}" y="{box.top:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'rx="6" fill="{_FILLS[node.kind]}" stroke="#94a3b8"/>'
    )
    first = box.top + (19 if node.note else 27)
    yield f'<text x="{box.left + _MARGIN:.0f}" y="{first:.0f}">{escape(shortened(node.name))}</text>'
    for number, line in enumerate(filter(None, (node.note, node.when))):
        yield (
            f'<text x="{box.left + _MARGIN:.0f}" y="{box.top + 35 + number * _LINE:.0f}" fill="#475569">'
            f"{escape(shortened(line))}</text>"
        )
