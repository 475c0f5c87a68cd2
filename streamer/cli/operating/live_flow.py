"""Map of a running daemon's flow on a terminal, as the console draws it in a browser."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from streamer.cli.operating.api import Api, ApiRefused
from streamer.cli.output import console, plain, print_json
from streamer.clock import Clock
from streamer.flow.flow_map import (
    MAP_JSON,
    ChannelNode,
    FlowMap,
    FlowNode,
    Level,
    NodeState,
    SubscriberNode,
    Trouble,
    rate,
)
from streamer.flow.glossary import EXPLANATIONS
from streamer.flow.layout import ChainRow, chain_rows
from streamer.flow.states import verdict_of

_EVERY_S = 2.0
_LONGEST_REASON = 60
_ANY_WIDTH = 10_000
_SYMBOLS = {Level.BAD: "▲", Level.WAITS: "◆", Level.GOOD: "●", Level.QUIET: "○"}
_STYLES = {Level.BAD: "bold red", Level.WAITS: "yellow", Level.GOOD: "green", Level.QUIET: "dim"}


async def watched(api: Api, clock: Clock, *, as_json: bool) -> None:
    """Draw the flow of the daemon behind `api`: until Ctrl-C on a terminal, and otherwise once.

    Raises `ApiRefused` when the first request fails. Later, the picture says why the
    daemon does not answer.
    """
    answer = await api.get("/flow")
    shown = console()
    if as_json:
        print_json(answer)
        return
    found = MAP_JSON.validate_python(answer)
    if not shown.is_terminal:
        shown.print(picture(found, shown))
        return
    try:
        with Live(picture(found, shown), console=shown, auto_refresh=False) as live:
            while True:
                await clock.sleep(_EVERY_S)
                problem = ""
                try:
                    found = MAP_JSON.validate_python(await api.get("/flow"))
                except ApiRefused as error:
                    problem = str(error)
                live.update(picture(found, shown, problem), refresh=True)
    except asyncio.CancelledError:
        # Ctrl-C.
        return


def picture(flow: FlowMap, on: Console, problem: str = "") -> RenderableType:
    """Return the picture of a map for a terminal: side by side if this fits, and stacked otherwise.

    `problem` says why the map is not of this moment, or is empty.
    """
    rows = chain_rows(flow.subscribers)
    drawn: RenderableType = _side_by_side(flow, rows)
    if Measurement.get(on, on.options.update_width(_ANY_WIDTH), drawn).maximum > on.width:
        drawn = _stacked(flow, rows)
    return Group(*_heading(flow, problem), Text(), drawn, *_legend(flow))


def _heading(flow: FlowMap, problem: str) -> Iterator[Text]:
    at = datetime.fromtimestamp(flow.at, UTC)
    yield plain(f"{flow.org.host} ({flow.org.kind}), {at:%Y-%m-%d %H:%M:%S} UTC")
    if flow.process.is_shared:
        yield _styled(flow.process.names, Level.QUIET)
    for sentence in filter(None, (problem, flow.problem, *flow.process.missing)):
        yield _styled(sentence, Level.BAD)
    verdict = verdict_of(flow)
    waiting = _named(verdict.waiting, verdict.further_waiting)
    parts = _named(verdict.broken, verdict.further_broken) or waiting
    said = ": ".join(filter(None, (verdict.sentence, parts)))
    yield _styled(f"{_SYMBOLS[verdict.level]} {said}", verdict.level)
    if verdict.waiting_title:
        yield _styled(f"{_SYMBOLS[Level.WAITS]} {verdict.waiting_title}: {waiting}", Level.WAITS)


def _named(parts: Sequence[Trouble], further: int) -> str:
    # The map says the reasons, beside the parts.
    named = [each.name for each in parts]
    return ", ".join([*named, *([f"and {further} more on the map"] if further else [])])


def _legend(flow: FlowMap) -> Iterator[Text]:
    """Yield an empty line and an explanation for each word of the glossary in a badge."""
    for number, word in enumerate(flow.words):
        if not number:
            yield Text()
        yield plain(f"{word.capitalize()}: {EXPLANATIONS[word]}.")


def _side_by_side(flow: FlowMap, rows: Sequence[ChainRow]) -> Table:
    """Return channels, the log and subscribers as three columns, with edges between them."""
    left = [(edge, line) for node in flow.channels for edge, line in _beside(_edge(node), _channel(node))]
    right = [
        (edge, line)
        for row in rows
        for edge, line in _beside(Text() if row.depth else _edge(row.node), _subscriber(row))
    ]
    log = [plain(flow.log.name), _word(flow.log.state), *_badges(flow.log)]
    log += [Text("   ┃", style="dim")] * (max(len(left), len(right)) - len(log))
    nothing = (Text(), Text())
    table = Table.grid(padding=(0, 1))
    for cells in ((), [edge for edge, _ in left], log, [edge for edge, _ in right], ()):
        # Only the columns of channels and subscribers shrink on a narrow terminal.
        widest = max((each.cell_len for each in cells), default=None)
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=widest)
    for (into, channel), said, (out, subscriber) in zip_longest(left, log, right, fillvalue=nothing):
        table.add_row(channel, into, said if isinstance(said, Text) else Text(), out, subscriber)
    return table


def _beside(edge: Text, lines: Sequence[Text]) -> list[tuple[Text, Text]]:
    """Return lines with the `edge` beside the first of them."""
    return list(zip_longest([edge], lines, fillvalue=Text()))


def _stacked(flow: FlowMap, rows: Sequence[ChainRow]) -> Group:
    """Return channels, the log and subscribers from top to bottom, for a narrow terminal."""
    bar = Text("  ┃", style="dim")
    lines = [line for each in flow.channels for line in _indented(_edge(each), _channel(each))]
    lines += [bar, _joined([plain(flow.log.name), _word(flow.log.state), *_badges(flow.log)]), bar]
    for row in rows:
        lines += _indented(_edge(row.node), _subscriber(row)) if not row.depth else _subscriber(row)
    return Group(*lines)


def _indented(edge: Text, lines: Sequence[Text]) -> list[Text]:
    first, *others = lines
    return [_joined([edge, first]), *(Text("   ").append(each) for each in others)]


def _channel(node: ChannelNode) -> list[Text]:
    return _with_details([plain(node.path), _word(node.state)], node, "  ")


def _subscriber(row: ChainRow) -> list[Text]:
    node = row.node
    said = [Text(node.name, style="bold"), _word(node.state), plain(node.note)]
    if not row.depth:
        return _with_details(said, node, "  ")
    indent = "   " * (row.depth - 1)
    others = f"also after {', '.join(row.others)}" if row.others else ""
    branch = plain(f"{indent}└─ {rate(node.per_second)} ─▶")
    return _with_details([branch, *said, plain(others)], node, f"{indent}     ")


def _with_details(said: Sequence[Text], node: ChannelNode | SubscriberNode, indent: str) -> list[Text]:
    """Return the line `said`, and lines with the badges and the reason of a state that needs attention."""
    needs = node.state.level in {Level.BAD, Level.WAITS}
    reason = Text(plain(node.state.reason if needs else "").plain, style="dim")
    reason.truncate(_LONGEST_REASON, overflow="ellipsis")
    details = [_joined(_badges(node)), reason]
    return [_joined(said), *(Text(indent).append(each) for each in details if each.plain)]


def _badges(node: FlowNode) -> list[Text]:
    return [_styled(f"[{each.text}]", each.level) for each in node.badges]


def _word(state: NodeState) -> Text:
    return _styled(f"{_SYMBOLS[state.level]} {state.headline}", state.level)


def _edge(node: ChannelNode | SubscriberNode) -> Text:
    begin, end = ("╌╌", "╌╌") if node.state.level is Level.BAD else ("──", "─▶")
    return _styled(f"{begin} {rate(node.per_second)} {end}", node.state.level)


def _styled(text: str, level: Level) -> Text:
    return Text(plain(text).plain, style=_STYLES[level])


def _joined(parts: Sequence[Text]) -> Text:
    return Text("  ").join(each for each in parts if each.plain)
