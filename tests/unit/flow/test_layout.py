"""The parts of the map never overlap, and all of them are inside it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest

from streamer.flow.boxes import (
    MARGIN,
    TAG_HEIGHT,
    TAG_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    MapBox,
    MapTag,
    fitted,
    text_width,
)
from streamer.flow.edges import LABEL_SIZE, MapEdge
from streamer.flow.flow_map import FlowMap, Level
from streamer.flow.layout import MapDrawing, chain_rows, narrow, wide
from tests.unit.flow.maps import DOWN, channel, flow_map, many, subscriber, troubled_map

Layout = Callable[[FlowMap], MapDrawing]
MAPS = {
    "nothing": flow_map(channels=()),
    "no subscriber": flow_map(),
    "one": flow_map([subscriber()]),
    "trouble": troubled_map(),
    "chain of three": flow_map(
        [subscriber("a"), subscriber("b", after=("a",)), subscriber("c", after=("b",))]
    ),
    "sixty": flow_map(many(60)),
    "many channels": flow_map(
        [subscriber()], [channel(f"/event/Event_{number}__e", open_holes=number) for number in range(12)]
    ),
    "chain of nine": flow_map(
        [subscriber(f"s{number}", after=(f"s{number - 1}",) if number else ()) for number in range(9)]
    ),
    "log is away": flow_map([subscriber()], log=replace(flow_map().log, state=DOWN, unreadable=1_234_567)),
}
every_map = pytest.mark.parametrize("flow", MAPS.values(), ids=MAPS)
both_layouts = pytest.mark.parametrize("layout", [wide, narrow])


def overlap(one: MapBox | MapTag, other: MapBox | MapTag) -> bool:
    """Tell whether two rectangles share a point."""
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )


def corners(edge: MapEdge) -> list[tuple[float, float]]:
    """Return the corners of an edge, without its arrow."""
    found: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MHVm])([^MHVm]*)", edge.path):
        values = [float(each) for each in numbers.split()] if command != "m" else []
        match command, values:
            case "M", [x, y]:
                found.append((x, y))
            case "H", [x]:
                found.append((x, found[-1][1]))
            case "V", [y]:
                found.append((found[-1][0], y))
    return found


def texts(box: MapBox) -> Iterator[tuple[float, float]]:
    """Return the left and the right end of each text of a box."""
    yield box.title.left, box.title.left + text_width(box.title.text, TITLE_SIZE, bold=True)
    for line in box.lines:
        yield line.left, line.left + text_width(line.text, TEXT_SIZE)


@every_map
@both_layouts
def test_nothing_overlaps(flow: FlowMap, layout: Layout) -> None:
    """Boxes stand apart, and so do the tags of one box."""
    drawing = layout(flow)

    for one, other in combinations(drawing.boxes, 2):
        assert not overlap(one, other), (one.key, other.key)
    for box in drawing.boxes:
        tags = [*([box.state] if box.state else []), *box.badges]
        assert not any(overlap(one, other) for one, other in combinations(tags, 2)), box.key


@every_map
@both_layouts
def test_nothing_lies_outside(flow: FlowMap, layout: Layout) -> None:
    """Boxes lie inside the drawing, and tags and texts inside their boxes."""
    drawing = layout(flow)

    for box in drawing.boxes:
        assert MARGIN <= box.left < box.right <= drawing.width - 1, box.key
        assert MARGIN <= box.top < box.bottom <= drawing.height - 1, box.key
        for tag in [*([box.state] if box.state else []), *box.badges]:
            assert box.left < tag.left < tag.right <= box.right, (box.key, tag)
            assert box.top < tag.top < tag.top + TAG_HEIGHT < box.bottom, (box.key, tag)
            assert text_width(tag.text, TAG_SIZE, bold=True) < tag.width
        for left, right in texts(box):
            assert box.left < left < right <= box.right, box.key
        assert all(box.top < line.baseline < box.bottom for line in box.lines)
        assert box.title.baseline < box.bottom
    for edge in drawing.edges:
        assert all(0 < x < drawing.width and 0 < y < drawing.height for x, y in corners(edge))


@every_map
@both_layouts
def test_edge_crosses_no_box(flow: FlowMap, layout: Layout) -> None:
    """An edge touches only the two boxes that it joins."""
    drawing = layout(flow)

    for edge in drawing.edges:
        for (x, y), (to_x, to_y) in pairwise(corners(edge)):
            for box in drawing.boxes:
                is_beside = max(x, to_x) <= box.left or min(x, to_x) >= box.right
                is_apart = max(y, to_y) <= box.top or min(y, to_y) >= box.bottom
                assert is_beside or is_apart, (edge, box.key)


@every_map
@both_layouts
def test_every_way_of_the_events_is_drawn(flow: FlowMap, layout: Layout) -> None:
    """Each channel leads to the log, and the log to each subscriber that comes after no other."""
    drawing = layout(flow)
    log = flow.log.name
    expected = [(each.path, log) for each in flow.channels]
    for each in flow.subscribers:
        expected += [(name, each.name) for name in each.after] or [(log, each.name)]

    assert sorted((edge.tail, edge.head) for edge in drawing.edges) == sorted(expected)
    assert {box.key for box in drawing.boxes} >= {node.name for node in flow.nodes}


@every_map
def test_label_fits_between_the_boxes(flow: FlowMap) -> None:
    """A rate stands above its edge, and covers nothing."""
    drawing = wide(flow)

    for edge in drawing.edges:
        half = text_width(edge.label, LABEL_SIZE) / 2
        for box in drawing.boxes if edge.label else ():
            is_beside = edge.label_x + half <= box.left or edge.label_x - half >= box.right
            is_apart = edge.label_y <= box.top or edge.label_y - LABEL_SIZE >= box.bottom
            assert is_beside or is_apart, (edge, box.key)


@both_layouts
def test_chain_goes_down_and_to_the_right(layout: Layout) -> None:
    """The eye follows the chain."""
    boxes = {each.key: each for each in layout(MAPS["chain of three"]).boxes}

    assert boxes["a"].left < boxes["b"].left < boxes["c"].left
    assert boxes["a"].bottom < boxes["b"].top
    assert boxes["b"].bottom < boxes["c"].top


def test_broken_ones_of_many_come_first() -> None:
    """Nobody has to scroll to find them; few subscribers stay in the order of the configuration."""
    few = [subscriber("good"), subscriber("down", state=DOWN)]
    ordered = [row.node.name for row in chain_rows(many(60))]

    assert [row.node.name for row in chain_rows(few)] == ["good", "down"]
    assert ordered[:2] == ["subscriber-17", "subscriber-32"]
    assert ordered[2:4] == ["subscriber-33", "subscriber-34"]
    assert len(ordered) == len(set(ordered)) == 60


def test_parts_that_need_no_attention_are_dense_among_many() -> None:
    """Broken parts keep their whole box."""
    boxes = {each.key: each for each in wide(flow_map(many(60))).boxes}

    assert boxes["subscriber-17"].height > 2 * boxes["subscriber-2"].height
    assert boxes["subscriber-2"].height < 40


@every_map
@both_layouts
def test_state_is_a_word(flow: FlowMap, layout: Layout) -> None:
    """Nobody needs to know the colours."""
    words = {box.key: box.state.text for box in layout(flow).boxes if box.state}

    assert words == {node.name: node.state.word for node in flow.nodes}


def test_long_text_is_shortened_and_told_in_full() -> None:
    """A pointer over the box shows the whole text."""
    name = "s" * 63
    [box] = [each for each in narrow(flow_map([subscriber(name)])).boxes if each.key == name]

    assert box.title.text.endswith("…")
    assert name in box.hint
    assert not any(each.hint for each in wide(MAPS["one"]).boxes)


def test_text_is_shortened_to_its_room() -> None:
    """A text that fits stays whole."""
    assert fitted("order", 100, 14) == "order"
    assert fitted("a long text", 50, 14) == "a lon…"
    assert fitted("text", 1, 14) == ""


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ({}, Level.GOOD),
        ({"per_second": 0.0}, Level.QUIET),
        ({"per_second": 0.0, "state": DOWN}, Level.BAD),
    ],
)
def test_edge_shows_whether_something_flows(facts: dict[str, Any], level: Level) -> None:
    """A broken edge is red even while nothing flows."""
    [edge] = [each for each in wide(flow_map([subscriber(**facts)])).edges if each.head == "slack"]

    assert edge.level is level


def test_stroke_grows_with_the_rate() -> None:
    """The eye finds the busiest way."""
    rates = [0.0, 1.0, 100.0, 1e9]
    strokes = [wide(flow_map([subscriber(per_second=each)])).edges[-1].stroke for each in rates]

    assert strokes == sorted(set(strokes))
    assert strokes[-1] <= 5
