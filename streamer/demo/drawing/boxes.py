"""Boxes of the demo's drawing: one for each station of the chain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from streamer.demo.deals import Deal
from streamer.demo.drawing.glyphs import Glyphs
from streamer.demo.drawing.picture import Station, StationState, counted

BOX_BORDERS = 2
WIDE_BOX = 24
"""Width of a box that has room for a margin, and for the state and the circuit in one line."""
_TITLE_WIDTH = 13
_THOUSAND = 1_000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """The characters and the colours of a drawing. Each colour accompanies a word with the same meaning."""

    glyphs: Glyphs

    def style(self, station: Station) -> str:
        """Return the colour of a station's border and title."""
        if station.state is None:
            return "cyan"
        if station.state is StationState.DOWN or station.is_open:
            return "bold red"
        return "yellow" if station.waiting > station.most_waiting // 4 else "green"

    def flow_style(self, station: Station) -> str:
        """Return the colour of the arrow to a station."""
        return "red" if station.is_open else "green"

    def flow(self, station: Station) -> str:
        """Return the arrow to a station; an open circuit blocks it."""
        return self.glyphs.blocked if station.is_open else self.glyphs.flow


def fitted(line: Text, width: int, pen: Pen) -> Text:
    """Return the line, cut to at most `width` cells."""
    line.no_wrap = True
    if line.cell_len > width:
        line.truncate(max(0, width - 1), overflow="crop")
        line.append(pen.glyphs.cut if width else "")
    return line


def box(station: Station, width: int, content: int, pen: Pen) -> list[Text]:
    """Return a frame of this width around `content` lines about the station."""
    margin = 1 if width >= WIDE_BOX else 0
    room = width - 2 - 2 * margin
    glyphs, style = pen.glyphs, pen.style(station)
    title = fitted(Text(station.title), width - 6, pen).plain
    top_left, top_right, low_left, low_right = glyphs.corners
    top = f"{top_left}{glyphs.horizontal} {title} "
    framed = [Text(f"{top}{glyphs.horizontal * (width - len(top) - 1)}{top_right}", style=style)]
    for line in station_lines(station, room, content, pen):
        left, right = glyphs.vertical + " " * margin, " " * margin + glyphs.vertical
        framed.append(Text.assemble((left, style), _padded(line, room, pen), (right, style)))
    framed.append(Text(f"{low_left}{glyphs.horizontal * (width - 2)}{low_right}", style=style))
    return framed


def in_a_row(boxes: Sequence[Sequence[Text]], stations: Sequence[Station], pen: Pen) -> list[Text]:
    """Return boxes side by side, with an arrow to each box except the first."""
    middle = len(boxes[0]) // 2
    lines = []
    for number, parts in enumerate(zip(*boxes, strict=True)):
        line = Text()
        for station, part in zip(stations, parts, strict=True):
            if station is not stations[0]:
                arrow = pen.flow(station) if number == middle else " " * len(pen.glyphs.flow)
                line.append(arrow, style=pen.flow_style(station))
            line.append_text(part)
        lines.append(line)
    return lines


def station_lines(station: Station, width: int, height: int, pen: Pen) -> list[Text]:
    """Return `height` lines about a station: the state and the circuit first, the names of deals last."""
    lines = [*_state_lines(station, width, pen), *_count_lines(station, width)]
    if station.state is not None and station.waiting:
        lines.append(_waiting(station, width, pen))
    if station.letters:
        lines.append(Text(counted(station.letters, "dead letter"), style="magenta"))
    if station.rates:
        lines.append(_rates(station.rates, width, pen))
    # A deal that waits stands out against a deal that has passed.
    style = "" if station.waiting else "dim"
    lines += [_deal(each, width, style) for each in station.deals[: max(0, height - len(lines))]]
    return [*lines, *[Text()] * (height - len(lines))][:height]


def station_line(station: Station, width: int, pen: Pen) -> Text:
    """Return a station as one line of a list."""
    title = f"{station.title:{_TITLE_WIDTH}}"[:_TITLE_WIDTH]
    parts = [Text(title, style=pen.style(station)), *_state_lines(station, 0, pen)]
    if station.state is not None and station.waiting:
        parts.append(Text(f"{station.waiting:,} waiting", style="yellow"))
    parts += [Text(each) for each in station.counts]
    if station.letters:
        parts.append(Text(counted(station.letters, "dead letter"), style="magenta"))
    parts += [Text(each.name, style="dim") for each in station.deals[:1]]
    return fitted(Text("  ").join(parts), width, pen)


def _state_lines(station: Station, width: int, pen: Pen) -> Iterator[Text]:
    """Yield the state, and an open circuit beside it or in a line of its own."""
    if station.state is None:
        return
    is_down = station.state is StationState.DOWN
    mark = pen.glyphs.down if is_down else pen.glyphs.up
    state = Text(f"{mark} {station.state}", style="bold red" if is_down else "green")
    if not station.is_open:
        yield state
        return
    circuit = Text("circuit open", style="red")
    if state.cell_len + 2 + circuit.cell_len <= width:
        yield Text.assemble(state, "  ", circuit)
    else:
        yield from (state, circuit)


def _count_lines(station: Station, width: int) -> Iterator[Text]:
    for number, count in enumerate(station.counts):
        line = Text(count, style="" if number == 0 else "yellow")
        latency = "" if station.latency_s is None or number else _duration(station.latency_s)
        if latency and line.cell_len + 2 + len(latency) <= width:
            line.append(f"{latency:>{width - line.cell_len}}", style="dim")
        yield line


def _waiting(station: Station, width: int, pen: Pen) -> Text:
    line = Text(f"{station.waiting:,} waiting ", style="yellow")
    room = max(0, width - line.cell_len)
    return line.append(
        pen.glyphs.bar * round(room * min(1.0, station.waiting / max(1, station.most_waiting)))
    )


def _rates(rates: Sequence[float], width: int, pen: Pen) -> Text:
    levels = pen.glyphs.levels
    last = f" {rates[-1]:.0f}/s"
    shown = rates[-max(1, width - len(last)) :]
    peak = max(shown) or 1.0
    return Text(
        "".join(levels[round(rate / peak * (len(levels) - 1))] for rate in shown) + last, style="cyan"
    )


def _deal(deal: Deal, width: int, style: str) -> Text:
    amount = _amount(deal.amount)
    room = width - len(deal.name)
    return Text(f"{deal.name}{amount:>{room}}" if room > len(amount) else deal.name, style=style)


def _amount(amount: int) -> str:
    if amount >= _MILLION:
        return f"${amount / _MILLION:.1f}m"
    return f"${amount // _THOUSAND}k" if amount >= _THOUSAND else f"${amount}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * _THOUSAND:.0f} ms"


def _padded(line: Text, width: int, pen: Pen) -> Text:
    shown = fitted(line.copy(), width, pen)
    shown.append(" " * (width - shown.cell_len))
    return shown
