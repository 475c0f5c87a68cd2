"""Drawing of the demo's picture as lines of text that fit a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from streamer.demo.drawing.boxes import BOX_BORDERS, WIDE_BOX, Pen, box, fitted, in_a_row, station_line
from streamer.demo.drawing.glyphs import Glyphs
from streamer.demo.drawing.picture import DemoPicture, Station

# The least terminal width that has room for so many boxes side by side.
_BOXES_IN_A_ROW = {140: 6, 58: 3}
_LEAST_CONTENT, _MOST_CONTENT = 4, 7
_FINAL_CONTENT = 3
# The org and the log come before the targets.
_FIRST_TARGET = 2
_NARRATION_ROWS = 2
_LEAST_TIMELINE = 5
# The verdict, and the line of the shell below it.
_VERDICT_ROWS, _WRAPPED_VERDICT_ROWS = 11, 17
_VERDICT_WIDTH = 78
_GAP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Boxes in a row and lines in a box, or a list of one line each if `in_a_row` is 0."""

    in_a_row: int
    content: int = 0

    @classmethod
    def of(cls, stations: int, width: int, height: int) -> "Layout":
        """Return the largest layout that fits; room beyond the least content goes to the timeline first."""
        in_a_row = next((count for least, count in _BOXES_IN_A_ROW.items() if width >= least), 0)
        if not in_a_row:
            return cls(in_a_row=0)
        rows = -(-stations // in_a_row)
        least = _least_content(width, in_a_row)
        # The header, the narration, the connectors between rows, and the footer.
        rest = height - 1 - _NARRATION_ROWS - rows * BOX_BORDERS - (rows - 1) - 1
        if rest < rows * least:
            return cls(in_a_row=0)
        wanted = (rest - _LEAST_TIMELINE) // rows
        return cls(in_a_row=in_a_row, content=min(_MOST_CONTENT, max(least, wanted)))


def _box_width(width: int, in_a_row: int) -> int:
    return (width - _GAP * (in_a_row - 1)) // in_a_row


def _least_content(width: int, in_a_row: int) -> int:
    """Return the lines that a box needs; in a narrow box, an open circuit needs a line of its own."""
    if not in_a_row:
        return 0
    return _LEAST_CONTENT if _box_width(width, in_a_row) >= WIDE_BOX else _LEAST_CONTENT + 1


def drawn(picture: DemoPicture, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Return `height` lines of at most `width` cells.

    A low or narrow terminal gets a list instead of boxes. The stations disappear
    last.
    """
    pen = Pen(glyphs=glyphs)
    layout = Layout.of(len(picture.stations), width, height)
    stations = _stations(picture.stations, layout, width, pen)
    room = height - len(stations)
    frame = [_header(picture, width, pen)] if room > 0 else []
    told = _narration(picture, width, pen, most=max(0, min(_NARRATION_ROWS, room - 2)))
    footer = [_footer(picture, width, pen)] if room > 1 else []
    rest = room - len(frame) - len(told) - len(footer)
    timeline = _timeline(picture.timeline, width, rest, pen)
    return [*frame, *told, *stations, *timeline, *footer][:height]


def final(picture: DemoPicture, width: int, height: int, glyphs: Glyphs) -> list[Text]:
    """Return the lines of the last picture, which stay on the terminal with the verdict below them."""
    pen = Pen(glyphs=glyphs)
    layout = Layout.of(len(picture.stations), width, height)
    # While a deal waits, a box needs a line for the number of waiting deals.
    is_waiting = any(each.waiting for each in picture.stations[_FIRST_TARGET:])
    least = _least_content(width, layout.in_a_row) if is_waiting else _FINAL_CONTENT
    low = replace(layout, content=min(layout.content, least))
    lines = _stations(picture.stations, low, width, pen)
    most = height - (_VERDICT_ROWS if width >= _VERDICT_WIDTH else _WRAPPED_VERDICT_ROWS)
    if len(lines) > most:
        lines = _stations(picture.stations, Layout(in_a_row=0), width, pen)
    room = most - len(lines)
    timeline = min(room, len(picture.timeline) + 1) if room >= _LEAST_TIMELINE else 0
    return [*lines, *_timeline(picture.timeline, width, timeline, pen)]


def _stations(stations: Sequence[Station], layout: Layout, width: int, pen: Pen) -> list[Text]:
    if not layout.in_a_row:
        return [station_line(each, width, pen) for each in stations]
    box_width = _box_width(width, layout.in_a_row)
    lines: list[Text] = []
    for first in range(0, len(stations), layout.in_a_row):
        if first:
            lines.append(_turn(box_width, layout.in_a_row, stations[first], pen))
        row = stations[first : first + layout.in_a_row]
        boxes = [box(each, box_width, layout.content, pen) for each in row]
        lines += in_a_row(boxes, row, pen)
    return lines


def _turn(box_width: int, boxes: int, following: Station, pen: Pen) -> Text:
    """Return the line from the last box of a row to the first box of the next row."""
    glyphs = pen.glyphs
    centre = box_width // 2
    length = (boxes - 1) * (box_width + _GAP)
    line = Text(" " * centre)
    line.append(
        f"{glyphs.back}{glyphs.horizontal * (length - 1)}{glyphs.turn}", style=pen.flow_style(following)
    )
    return line


def _header(picture: DemoPicture, width: int, pen: Pen) -> Text:
    header = Text.assemble(("Streamer demo ", "bold"))
    if picture.for_s is None:
        header.append(f" {picture.elapsed_s:.0f} s; Ctrl-C ends the demo")
        return fitted(header, width, pen)
    elapsed_s = min(picture.elapsed_s, picture.for_s)
    clock = f" {elapsed_s:.0f} s of {picture.for_s:.0f} s"
    room = max(0, width - header.cell_len - len(clock))
    done = round(room * elapsed_s / picture.for_s)
    header.append(pen.glyphs.done * done, style="cyan")
    header.append(pen.glyphs.left * (room - done), style="dim")
    header.append(clock)
    return fitted(header, width, pen)


def _narration(picture: DemoPicture, width: int, pen: Pen, *, most: int) -> list[Text]:
    if not most:
        return []
    lines = [*Text(picture.narration, style="bold").wrap(_WRAPPING, width)][:most]
    return [fitted(line, width, pen) for line in [*lines, *[Text()] * (most - len(lines))]]


def _timeline(lines: Sequence[str], width: int, height: int, pen: Pen) -> list[Text]:
    if height <= 0:
        return []
    title = Text(f"{pen.glyphs.horizontal * 2} What happened ", style="dim")
    title.append(pen.glyphs.horizontal * max(0, width - title.cell_len))
    latest = list(lines)[-(height - 1) :] if height > 1 else []
    shown = [title, *map(Text, latest), *[Text()] * (height - 1 - len(latest))]
    return [fitted(line, width, pen) for line in shown]


def _footer(picture: DemoPicture, width: int, pen: Pen) -> Text:
    return fitted(Text(f"Web console: {picture.console_url}", style="dim"), width, pen)


# Wraps at blanks; its own width does not matter.
_WRAPPING = Console(width=80)
