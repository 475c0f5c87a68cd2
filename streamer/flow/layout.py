"""Layout of the map: boxes and edges of a drawing, from the parts of the flow.

The wide layout shows the channels on the left, the log as a bar in the middle, and the
subscribers as rows on the right. A subscriber that comes after another stands under it,
indented. The narrow layout, for phones, shows the same from top to bottom.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from streamer.flow.boxes import MARGIN, BoxFrame, MapBox, box_of, log_box
from streamer.flow.edges import DOWN, TO_THE_RIGHT, MapEdge, along, beside, elbow, level_edge
from streamer.flow.flow_map import ChannelNode, FlowMap, Level, SubscriberNode, level_of, worst

MOST_IN_ORDER = 12
"""Largest number of subscribers in the order of the configuration.

If there are more, broken ones come first.
"""
_ROW_GAP = 10.0
_DENSE_GAP = 6.0
_NO_SUBSCRIBER = "No subscriber is configured"
_NO_CHANNEL = "No channel is configured"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFrame:
    """Measures of a layout: columns, the indentation of a chain, and the margin for further edges."""

    width: float
    channels: BoxFrame
    subscribers: BoxFrame
    log_left: float
    log_width: float
    indent: float
    most_indent: float


WIDE = LayoutFrame(
    width=1200,
    channels=BoxFrame(left=MARGIN, width=300, has_state_below=True),
    subscribers=BoxFrame(left=666, width=526, has_dense_form=True),
    log_left=406,
    log_width=150,
    indent=84,
    most_indent=252,
)
NARROW = LayoutFrame(
    width=360,
    channels=BoxFrame(left=30, width=324, has_state_below=True, has_rate=True),
    subscribers=BoxFrame(left=30, width=324, has_rate=True),
    log_left=MARGIN,
    log_width=348,
    indent=20,
    most_indent=80,
)
_TRUNK_X = 16.0
_SIDE_LANE = 7.0
_SIDE_LANES = 3


@dataclass(frozen=True, slots=True)
class ChainRow:
    """Row of a subscriber, at a `depth` of its chain.

    The subscriber comes after the `parent` above it, and after `others`.
    """

    node: SubscriberNode
    depth: int = 0
    parent: str = ""
    others: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDrawing:
    """Boxes and edges in pixels; nothing lies outside of the drawing."""

    width: float
    height: float
    boxes: Sequence[MapBox]
    edges: Sequence[MapEdge]


def chain_rows(subscribers: Sequence[SubscriberNode]) -> list[ChainRow]:
    """Return a row for each subscriber, in which a chain stays together.

    With more than `MOST_IN_ORDER` subscribers, the chains with the worst parts come
    first.
    """
    names = {each.name for each in subscribers}
    rows = {each.name: _row(each, names) for each in subscribers}
    children: dict[str, list[ChainRow]] = {}
    for row in rows.values():
        children.setdefault(row.parent, []).append(row)
    trees = [list(_descended(root, 0, children)) for root in children.get("", ())]
    if len(subscribers) > MOST_IN_ORDER:
        order = list(Level)
        trees.sort(key=lambda tree: order.index(worst([level_of(row.node) for row in tree])))
    return list(chain.from_iterable(trees))


def wide(flow: FlowMap) -> MapDrawing:
    """Return the layout for a desktop."""
    is_dense = len(flow.subscribers) > MOST_IN_ORDER
    rows = chain_rows(flow.subscribers)
    channels = _stacked_channels(flow, WIDE, MARGIN)
    boxes = _stacked_rows(rows, WIDE, MARGIN, is_dense=is_dense)
    bottom = max((each.bottom for each in (*channels, *boxes)), default=0.0)
    log = log_box(flow.log, WIDE.log_left, MARGIN, WIDE.log_width)
    log = replace(log, height=max(log.height, bottom - MARGIN))
    edges = [
        *(along(each, log, node) for each, node in zip(channels, flow.channels, strict=False)),
        *_edges(rows, boxes, lambda box, node: along(log, box, node)),
    ]
    return _drawn(WIDE.width, [*channels, log, *boxes], edges)


def narrow(flow: FlowMap) -> MapDrawing:
    """Return the layout for a phone."""
    rows = chain_rows(flow.subscribers)
    channels = _stacked_channels(flow, NARROW, MARGIN)
    below = max((each.bottom for each in channels), default=0.0) + 2 * _ROW_GAP
    log = log_box(flow.log, NARROW.log_left, below, NARROW.log_width)
    boxes = _stacked_rows(rows, NARROW, log.bottom + 2 * _ROW_GAP, is_dense=False)
    edges = [
        *(_to_log(each, log, node) for each, node in zip(channels, flow.channels, strict=False)),
        *_edges(rows, boxes, lambda box, node: _from_log(log, box, node)),
    ]
    return _drawn(NARROW.width, [*channels, log, *boxes], edges)


def _row(node: SubscriberNode, names: set[str]) -> ChainRow:
    known = [each for each in node.after if each in names]
    return ChainRow(node, parent=known[-1] if known else "", others=known[:-1])


def _descended(row: ChainRow, depth: int, children: Mapping[str, Sequence[ChainRow]]) -> Iterator[ChainRow]:
    yield replace(row, depth=depth)
    for child in children.get(row.node.name, ()):
        yield from _descended(child, depth + 1, children)


def _stacked_channels(flow: FlowMap, frame: LayoutFrame, top: float) -> list[MapBox]:
    if not flow.channels:
        return [MapBox.empty("channels", _NO_CHANNEL, frame.channels.left, top, frame.channels.width)]
    boxes = []
    for node in flow.channels:
        boxes.append(box_of(node, frame.channels, top))
        top = boxes[-1].bottom + _ROW_GAP
    return boxes


def _stacked_rows(
    rows: Sequence[ChainRow], frame: LayoutFrame, top: float, *, is_dense: bool
) -> list[MapBox]:
    within = frame.subscribers
    if not rows:
        return [MapBox.empty("subscribers", _NO_SUBSCRIBER, within.left, top, within.width)]
    lanes = min(_SIDE_LANES, sum(len(row.others) for row in rows))
    indent = min(frame.indent, frame.most_indent / max(1, *(row.depth for row in rows)))
    boxes: list[MapBox] = []
    for row in rows:
        moved = row.depth * indent
        width = within.width - moved - lanes * _SIDE_LANE
        placed = replace(within, left=within.left + moved, width=width)
        boxes.append(box_of(row.node, placed, top, is_dense=is_dense))
        top = boxes[-1].bottom + (_DENSE_GAP if is_dense else _ROW_GAP)
    return boxes


def _to_log(box: MapBox, log: MapBox, node: ChannelNode) -> MapEdge:
    """Return the edge from a channel to the log below it, along the left side."""
    path = f"M{box.left:g} {box.middle:g}H{_TRUNK_X:g}V{log.top:g}{DOWN}"
    return level_edge(node, path, tail=box, head=log)


def _from_log(log: MapBox, box: MapBox, node: SubscriberNode) -> MapEdge:
    """Return the edge from the log to a subscriber below it, along the left side."""
    path = f"M{_TRUNK_X:g} {log.bottom:g}V{box.middle:g}H{box.left:g}{TO_THE_RIGHT}"
    return level_edge(node, path, tail=log, head=box)


def _edges(
    rows: Sequence[ChainRow], boxes: Sequence[MapBox], from_log: Callable[[MapBox, SubscriberNode], MapEdge]
) -> Iterator[MapEdge]:
    """Yield the edges to the boxes of the rows; `from_log` returns the edge to a box that begins a chain."""
    by_name = {each.key: each for each in boxes}
    for row in rows:
        box = by_name[row.node.name]
        if row.parent:
            yield elbow(by_name[row.parent], box, row.node)
            yield from _side_edges(row, by_name)
        else:
            yield from_log(box, row.node)


def _side_edges(row: ChainRow, boxes: Mapping[str, MapBox]) -> Iterator[MapEdge]:
    """Yield the edges of a subscriber that comes after several, along the right side."""
    box = boxes[row.node.name]
    for number, name in enumerate(row.others):
        yield beside(boxes[name], box, (number % _SIDE_LANES + 1) * _SIDE_LANE, row.node)


def _drawn(width: float, boxes: Sequence[MapBox], edges: Sequence[MapEdge]) -> MapDrawing:
    height = max(each.bottom for each in boxes) + MARGIN
    return MapDrawing(width=width, height=height, boxes=boxes, edges=edges)
