"""The command `streamer flow`: the graph of a configuration, as a tree of text or an SVG drawing."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import escape

import typer
from rich.tree import Tree

from streamer.cli.operating.api import api_of
from streamer.cli.operating.api_command import Token, Url
from streamer.cli.operating.live_flow import watched
from streamer.cli.output import console, failures_reported, plain, print_json
from streamer.clock import SystemClock
from streamer.configuration import Document, Draft, load_document, load_draft
from streamer.configuration.consistency import chain_mistakes
from streamer.configuration.event_types import Carried
from streamer.errors import ConfigurationError
from streamer.events import JsonObject, SubscriberName
from streamer.known_secrets import MASK
from streamer.settings import SubscriberSettings

_DRAWN = ("uses", "on", "after", "on_rejected")
_MOST_CHARACTERS = 60


class NodeKind(StrEnum):
    """Kind of a node."""

    CHANNEL = "channel"
    TYPE = "type"
    SUBSCRIBER = "subscriber"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Channel, pattern of event types, or subscriber. `note` is a short description; `when` is one line."""

    kind: NodeKind
    name: str
    note: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes, and arrows as pairs of nodes, both in the order of the configuration.

    The arrows form no cycle. `subscribers` describes the subscribers as JSON.
    """

    arrows: Sequence[tuple[Node, Node]]
    nodes: Sequence[Node]
    subscribers: Sequence[JsonObject]

    def after(self, node: Node) -> list[Node]:
        """Return the targets of the arrows that begin at `node`."""
        return [head for tail, head in self.arrows if tail == node]

    def before(self, node: Node) -> list[Node]:
        """Return the origins of the arrows that end at `node`."""
        return [tail for tail, head in self.arrows if head == node]

    def depths(self) -> Mapping[Node, int]:
        """Return the number of arrows on the longest way to each node."""
        found: dict[Node, int] = {}

        def depth(node: Node) -> int:
            if node not in found:
                found[node] = max((1 + depth(tail) for tail in self.before(node)), default=0)
            return found[node]

        return {node: depth(node) for node in self.nodes}


def graph(draft: Draft, document: Document) -> Graph:
    """Return the graph of a configuration, whose secrets can be missing.

    Raises `ConfigurationError` for a mistake in the sections that are drawn.
    """
    names = draft.settings.subscribers
    are_sound = draft.is_sound("channels") and all(
        draft.is_sound("subscribers", name, key) for name in names for key in _DRAWN
    )
    if not are_sound:
        raise ConfigurationError("\n".join(draft.lines))
    if mistakes := list(chain_mistakes(draft, document)):
        raise ConfigurationError("\n".join(mistakes))
    return _graph(draft, {name: _when(name, draft, document) for name in names})


def shortened(text: str) -> str:
    """Return `text` in one line, cut to the width of a box in the drawing."""
    line = "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"


def _graph(draft: Draft, whens: Mapping[SubscriberName, str | None]) -> Graph:
    settings = draft.settings
    subscribers = {
        name: Node(
            kind=NodeKind.SUBSCRIBER,
            name=name,
            note=_note(each),
            when=shortened(f"when {when}") if (when := whens[name]) is not None else "",
        )
        for name, each in settings.subscribers.items()
    }
    arrows: list[tuple[Node, Node]] = []
    types: dict[str, Node] = {}
    channels = [Node(kind=NodeKind.CHANNEL, name=path) for path in settings.paths]
    for name, each in settings.subscribers.items():
        for pattern in () if each.after else each.on:
            if pattern not in types:
                types[pattern] = Node(kind=NodeKind.TYPE, name=pattern)
                carriers = [each for each in channels if Carried.by(each.name).can_match(pattern)]
                arrows += [(channel, types[pattern]) for channel in carriers]
            arrows.append((types[pattern], subscribers[name]))
        arrows += [(subscribers[before], subscribers[name]) for before in each.after]
    return Graph(
        arrows=arrows,
        nodes=[*channels, *types.values(), *subscribers.values()],
        subscribers=[_as_json(name, each, whens[name]) for name, each in settings.subscribers.items()],
    )


def _note(settings: SubscriberSettings) -> str:
    told = [settings.uses]
    if settings.after and settings.on and not any(map(_is_every_type, settings.on)):
        told.append(f"only {', '.join(settings.on)}")
    if len(settings.after) > 1:
        told.append(f"after {', '.join(settings.after[:-1])} and {settings.after[-1]}")
    if settings.on_rejected == "run":
        told.append("also rejected events")
    return ", ".join(told)


def _is_every_type(pattern: str) -> bool:
    return not pattern.strip("*")


def _when(name: SubscriberName, draft: Draft, document: Document) -> str | None:
    """Return the subscriber's `when`, or a placeholder if `when` is unreadable or can contain a secret."""
    keys = ("subscribers", name, "when")
    when = draft.settings.subscribers[name].when
    is_shown = when is None or (draft.is_sound(*keys) and not document.is_secret(keys))
    return when if is_shown else MASK


def _as_json(name: str, settings: SubscriberSettings, when: str | None) -> JsonObject:
    return {
        "name": name,
        "uses": settings.uses,
        "on": list(settings.on),
        "when": when,
        "after": list(settings.after),
        "on_rejected": settings.on_rejected,
    }


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
    """Position and size of a node, in pixels."""

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
    lines = [_HEAD.format(width=width, height=height), _ARROW, *_svg_parts(graph, boxes), "</svg>", ""]
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
        # A node is drawn at the height of its predecessors, if there is room.
        for height, node in sorted(
            ((_wanted_height(node, graph, boxes), node) for node in nodes), key=_by_height
        ):
            top = max(row, height)
            box = boxes[node] = _Box(left=left, top=_MARGIN + top, width=width, height=_height(node))
            row = top + box.height + _SPACE
        left += width + _GAP
    return boxes


def _by_height(placed: tuple[float, Node]) -> float:
    return placed[0]


def _wanted_height(node: Node, graph: Graph, boxes: Mapping[Node, _Box]) -> float:
    tops = [boxes[tail].top - _MARGIN for tail in graph.before(node) if tail in boxes]
    return sum(tops) / len(tops) if tops else 0.0


def _width(node: Node) -> float:
    longest = max(len(shortened(each)) for each in (node.name, node.note, node.when))
    return longest * _CHARACTER + 2 * _MARGIN


def _height(node: Node) -> float:
    return _BOX_HEIGHT + (_LINE if node.when else 0)


def _svg_parts(graph: Graph, boxes: Mapping[Node, _Box]) -> Iterator[str]:
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
        yield from _svg_box(node, box)


def _svg_box(node: Node, box: _Box) -> Iterator[str]:
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


def trees(graph: Graph) -> Iterator[Tree]:
    """Yield a tree for each channel.

    If several arrows lead to a node, only its first appearance shows the nodes
    after it.
    """
    drawn: set[Node] = set()
    for node in graph.nodes:
        if node.kind is NodeKind.CHANNEL:
            tree = Tree(plain(node.name))
            _grow_tree(tree, node, graph, drawn)
            yield tree


def _grow_tree(tree: Tree, node: Node, graph: Graph, drawn: set[Node]) -> None:
    drawn.add(node)
    for after in graph.after(node):
        told = ", ".join(filter(None, (after.note, after.when)))
        note = f" ({told})" if told else ""
        if after in drawn:
            tree.add(plain(f"{after.name}, as above"))
        else:
            _grow_tree(tree.add(plain(f"{after.name}{note}")), after, graph, drawn)


def flow(
    *,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A YAML file; if you give several files, later files override earlier files. With --live, "
            "the file only supplies the daemon's address and token.  [default: none]",
        ),
    ] = None,
    svg_: Annotated[
        Path | None,
        typer.Option(
            "--svg", metavar="FILE", help="Write an SVG drawing to this file instead of printing a tree."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a tree.")] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Draw the flow of a running daemon, with its rates and its problems."),
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Draw which events each subscriber gets, and which subscribers it waits for.

    Without --live, the command needs a configuration and no connection. The
    command also works if the configuration's secrets are missing.

    With --live, the command asks a running daemon, and draws the map of the
    console: channels, the log and subscribers, with rates, waiting events and
    everything that needs attention. On a terminal, the picture refreshes until
    Ctrl-C. Otherwise, the command prints it once. With --json, it prints the
    object of the API's `GET /flow`.

    Exits 0 on success, 1 when the daemon refuses or can't be reached, 2 for a
    mistake in the arguments or in the configuration.
    """
    if live:
        _check_absent(svg_)
        with failures_reported():
            asyncio.run(watched(api_of(config or [], url, token), SystemClock(), as_json=json_))
        return
    if not config:
        raise typer.BadParameter("is missing: give a configuration, or --live.", param_hint="--config")
    _draw(config, svg_, as_json=json_)


def _check_absent(svg_: Path | None) -> None:
    if svg_ is not None:
        raise typer.BadParameter("does not go with --live.", param_hint="--svg")


def _draw(config: Sequence[Path], svg_: Path | None, *, as_json: bool) -> None:
    """Draw a configuration."""
    with failures_reported():
        document = load_document(config)
        found = graph(load_draft(document), document)
        if svg_ is not None:
            _write_drawing(svg_, found)
        if as_json:
            print_json(
                {
                    "arrows": [[tail.name, head.name] for tail, head in found.arrows],
                    "subscribers": list(found.subscribers),
                }
            )
        elif svg_ is None:
            for tree in trees(found):
                console().print(tree)


def _write_drawing(path: Path, found: Graph) -> None:
    try:
        path.write_text(svg(found), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}") from error
