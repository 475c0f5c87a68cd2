"""Animated SVG of the demo: some of its pictures, one after the other, in a loop."""

from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

from rich.console import Console
from rich.style import Style
from rich.text import Text

from streamer.demo.drawing.frame import drawn
from streamer.demo.drawing.glyphs import UNICODE
from streamer.demo.drawing.picture import DemoPicture, Station, StationState

_WIDTH, _HEIGHT = 96, 25
_MOST_PICTURES = 16
_EACH_S = 1.2
_COLUMN, _ROW, _MARGIN = 8.4, 18, 16
_COLOURS = {
    "red": "#ff7b72",
    "green": "#56d364",
    "yellow": "#e3b341",
    "cyan": "#56d4dd",
    "magenta": "#d2a8ff",
}


def svg_of(pictures: Sequence[DemoPicture]) -> str:
    """Return an SVG that shows up to 16 of the pictures, in their order.

    A viewer without animations, or a person who asked for less motion, sees the
    picture with the most deals that wait for a target that is down.
    """
    chosen = _spread(pictures)
    still = max(range(len(chosen)), key=lambda number: (_waiting(chosen[number].stations), number))
    width, height = _MARGIN * 2 + round(_WIDTH * _COLUMN), _MARGIN * 2 + _HEIGHT * _ROW
    frames = "\n".join(
        # A delay below 0 begins in the middle of the loop, so that no two frames show at first.
        f'<g class="{"frame still" if number == still else "frame"}" '
        f'style="animation-delay:{(number - len(chosen)) * _EACH_S:.1f}s">\n{_frame(picture)}\n</g>'
        for number, picture in enumerate(chosen)
    )
    size = f'viewBox="0 0 {width} {height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" {size} role="img">\n'
        f"<title>streamer demo</title>\n<style>\n{_css(len(chosen))}\n</style>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>\n{frames}\n</svg>\n'
    )


def _spread(pictures: Sequence[DemoPicture]) -> Sequence[DemoPicture]:
    """Return at most 16 pictures at equal distances, with the last one."""
    count = min(_MOST_PICTURES, len(pictures))
    return [pictures[len(pictures) * number // count - 1] for number in range(1, count + 1)]


def _waiting(stations: Iterable[Station]) -> int:
    return sum(each.waiting for each in stations if each.state is StationState.DOWN)


def _css(count: int) -> str:
    colours = "\n".join(f".{name}{{fill:{value}}}" for name, value in _COLOURS.items())
    return (
        f"text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"fill:#e6edf3;white-space:pre}}\n{colours}\n.bold{{font-weight:bold}}\n.dim{{opacity:.7}}\n"
        f".frame{{visibility:hidden;animation:show {count * _EACH_S:.1f}s step-end infinite}}\n"
        f"@keyframes show{{0%{{visibility:visible}}{100 / count:.3f}%{{visibility:hidden}}}}\n"
        ".still{visibility:visible}\n"
        "@media (prefers-reduced-motion:reduce){.frame{animation:none}}"
    )


def _frame(picture: DemoPicture) -> str:
    lines = drawn(picture, _WIDTH, _HEIGHT, UNICODE)
    return "\n".join(text for row, line in enumerate(lines) for text in _texts(line, row))


def _texts(line: Text, row: int) -> Iterator[str]:
    """Split a line into parts of equal style, and yield an element for each, placed where the part begins."""
    column = 0
    for segment in _CANVAS.render(line):
        # Some viewers ignore blanks at the ends of a text.
        if text := segment.text.strip():
            begin = column + segment.text.index(text[0])
            x, y = _MARGIN + begin * _COLUMN, _MARGIN + (row + 0.75) * _ROW
            yield (
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{len(text) * _COLUMN:.1f}"'
                f"{_classes(segment.style)}>{escape(text)}</text>"
            )
        column += len(segment.text)


def _classes(style: Style | None) -> str:
    if style is None:
        return ""
    names = [style.color.name] if style.color is not None else []
    names += [name for name, is_set in (("bold", style.bold), ("dim", style.dim)) if is_set]
    return f' class="{" ".join(names)}"' if names else ""


_CANVAS = Console(width=_WIDTH, force_terminal=True, color_system="standard")
