"""Edges of the map: paths between boxes, with the rate of the part that an edge belongs to."""

import math
from dataclasses import dataclass, replace

from streamer.flow.boxes import MapBox, text_width
from streamer.flow.flow_map import ChannelNode, Level, SubscriberNode, rate

LABEL_SIZE = 14.0
TO_THE_RIGHT, TO_THE_LEFT, DOWN = "m-7-4 7 4-7 4", "m7-4-7 4 7 4", "m-4-7 4 7 4-7"
"""Arrow heads, as the ends of a path."""
_THINNEST, _THICKEST = 1.5, 5.0
_LABEL_GAP = 6.0
_ELBOW_X = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEdge:
    """Edge from the box `tail` to the box `head`: an SVG `path` with an arrow, and a label in the middle."""

    tail: str
    head: str
    path: str
    level: Level
    stroke: float
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0

    @property
    def strokes(self) -> tuple[str, float]:
        """Level and width of the stroke, which many edges share."""
        return self.level.value, self.stroke


def along(tail: MapBox, head: MapBox, node: ChannelNode | SubscriberNode) -> MapEdge:
    """Return a straight edge between the sides of two boxes, at the height of the smaller box."""
    y = min(tail, head, key=lambda each: each.height).middle
    edge = level_edge(node, f"M{tail.right:g} {y:g}H{head.left:g}{TO_THE_RIGHT}", tail=tail, head=head)
    return _labelled(edge, node, tail.right, head.left, y)


def elbow(parent: MapBox, child: MapBox, node: SubscriberNode) -> MapEdge:
    """Return an edge from the bottom of `parent` to the left side of `child`, which is indented."""
    x = parent.left + min(_ELBOW_X, (child.left - parent.left) / 2)
    path = f"M{x:g} {parent.bottom:g}V{child.middle:g}H{child.left:g}{TO_THE_RIGHT}"
    edge = level_edge(node, path, tail=parent, head=child)
    return _labelled(edge, node, x, child.left, child.middle)


def beside(tail: MapBox, head: MapBox, distance: float, node: SubscriberNode) -> MapEdge:
    """Return an edge between the right sides of two boxes, at a `distance` from the boxes."""
    x = max(tail.right, head.right) + distance - 3
    path = f"M{tail.right:g} {tail.middle:g}H{x:g}V{head.middle:g}H{head.right:g}{TO_THE_LEFT}"
    return level_edge(node, path, tail=tail, head=head)


def level_edge(node: ChannelNode | SubscriberNode, path: str, *, tail: MapBox, head: MapBox) -> MapEdge:
    """Return an edge with the level of a part's state, and with a stroke that grows with its rate.

    An edge on which nothing flows is quiet, unless the part needs attention.
    """
    flowing = node.per_second or 0.0
    level = Level.QUIET if node.state.level is Level.GOOD and not flowing else node.state.level
    stroke = min(_THICKEST, _THINNEST + math.log10(1 + flowing))
    return MapEdge(tail=tail.key, head=head.key, path=path, level=level, stroke=round(2 * stroke) / 2)


def _labelled(
    edge: MapEdge, node: ChannelNode | SubscriberNode, left: float, right: float, y: float
) -> MapEdge:
    """Return the edge with its rate, if the rate fits between `left` and `right`."""
    text = rate(node.per_second)
    if text_width(text, LABEL_SIZE) > right - left - _LABEL_GAP:
        return edge
    return replace(edge, label=text, label_x=(left + right) / 2, label_y=y - _LABEL_GAP)
