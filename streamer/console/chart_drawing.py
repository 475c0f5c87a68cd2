"""Line charts and bar charts as SVG, drawn on the server, without scripts or images from other hosts."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from streamer.console.samples import NOTHING, Point
from streamer.observe.durations import duration

_WIDTH, _HEIGHT = 600, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 14, 34
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PARTS = 4
_MINUTE_S = 60.0
# Each column of a chart says its values when the mouse rests on it.
_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class Line:
    """Line of a chart. `points` are ordered from the oldest to the newest."""

    name: str
    points: Sequence[Point]

    @property
    def latest(self) -> float | None:
        """Value of the newest point, or `None`."""
        return self.points[-1].value if self.points else None

    @property
    def peak(self) -> float:
        """Largest value, or 0 without values."""
        return max((each.value for each in self.points if each.value is not None), default=0.0)

    def near(self, at: float, within_s: float) -> float | None:
        """Return the value of the point next to `at`, or `None` if no point lies within `within_s`."""
        after = bisect_left(self.points, at, key=lambda each: each.at)
        near = min(
            self.points[max(0, after - 1) : after + 1], key=lambda each: abs(each.at - at), default=None
        )
        return None if near is None or abs(near.at - at) > within_s else near.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Chart of the `span_s` seconds before `until`, in epoch seconds; all values have one `unit`.

    More than `gap_s` seconds between two points interrupt a line. Without a value, the
    chart shows `reason`.
    """

    title: str
    unit: str
    lines: Sequence[Line]
    until: float
    span_s: float
    gap_s: float = 45.0
    reason: str = ""

    @property
    def description(self) -> str:
        """Text that describes the chart for people who can't see it."""
        if not self._has_values:
            return f"{self.title}, {self.unit}. {self.reason}."
        said = (
            f"{line.name}: now {readable(line.latest)}, at most {readable(line.peak)}" for line in self.lines
        )
        minutes = f"{self.span_s / _MINUTE_S:.0f} minutes"
        return f"{self.title}, {self.unit}, in the last {minutes}. {'; '.join(said)}."

    @property
    def svg(self) -> Markup:
        """SVG element of the chart, with the style sheet's colours."""
        top = rounded_up(max(line.peak for line in self.lines))
        paths = [
            Markup('<path class="line line-{}{}" d="{}"/>').format(
                number, "" if "L" in path else " dot", path
            )
            for number, line in enumerate(self.lines)
            for path in self._paths(line, top)
        ]
        reason = [] if self._has_values else [_in_the_middle(self.reason)]
        return _drawn(self.description, [*_axes(top, self.span_s), *paths, *self._columns(), *reason])

    @property
    def _has_values(self) -> bool:
        begin = self.until - self.span_s
        return any(
            point.value is not None and point.at >= begin for line in self.lines for point in line.points
        )

    def _columns(self) -> Sequence[Markup]:
        """Return transparent columns, each with a title that says the values at its time."""
        width = (_WIDTH - _LEFT - _RIGHT) / _COLUMNS
        column_s = self.span_s / _COLUMNS
        columns = []
        for number in range(_COLUMNS):
            at = self.until - self.span_s + (number + 0.5) * column_s
            said = [
                f"{line.name} {readable(value)}"
                for line in self.lines
                if (value := line.near(at, max(column_s, self.gap_s) / 2)) is not None
            ]
            if said:
                title = f"{_clock(at)}, {self.unit}: {', '.join(said)}"
                columns.append(hover_column(_LEFT + number * width, width, title))
        return columns

    def _paths(self, line: Line, top: float) -> Sequence[str]:
        """Return the parts of a line. Points without a value interrupt the line."""
        paths: list[list[str]] = []
        before: Point | None = None
        for point in line.points:
            if point.value is None or point.at < self.until - self.span_s:
                before = None
                continue
            if before is None or point.at - before.at > self.gap_s:
                paths.append([])
            paths[-1].append(f"{self._x(point.at):.1f} {_y(point.value, top):.1f}")
            before = point
        # A line without a length, with round ends, draws a dot.
        return [f"M{' L'.join(path)}" if len(path) > 1 else f"M{path[0]}h0" for path in paths]

    def _x(self, at: float) -> float:
        share = 1 - (self.until - at) / self.span_s
        return _LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Chart of something rare: `counts` in equal parts of the `span_s` seconds before `until`.

    A chart of rates would show 6 per minute for a single occurrence in 10 seconds. If all counts are 0,
    the chart shows `reason`.
    """

    title: str
    counts: Sequence[float]
    until: float
    span_s: float
    reason: str = ""

    @property
    def unit(self) -> str:
        """Unit of the counts."""
        return f"per {duration(self._part_s)}"

    @property
    def lines(self) -> Sequence[Line]:
        """No lines: the chart needs no legend, because the title names its only value."""
        return ()

    @property
    def description(self) -> str:
        """Text that describes the chart for people who can't see it."""
        if not any(self.counts):
            return f"{self.title}, {self.unit}. {self.reason}."
        minutes = f"{self.span_s / _MINUTE_S:.0f} minutes"
        return f"{self.title}, {self.unit}, in the last {minutes}: {readable(sum(self.counts))} in total."

    @property
    def svg(self) -> Markup:
        """SVG element of the chart, with the style sheet's colours."""
        # Things are counted in whole numbers, so the axis has a label for a single thing.
        top = max(float(_PARTS), rounded_up(max(self.counts, default=0.0)))
        width = (_WIDTH - _LEFT - _RIGHT) / max(1, len(self.counts))
        bars = []
        for number, count in enumerate(self.counts):
            x, y = _LEFT + number * width, _y(count, top)
            bar = Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
            begin = self.until - self.span_s + number * self._part_s
            title = f"{_clock(begin)} to {_clock(begin + self._part_s)}: {readable(count)}"
            bars.append(bar.format(x + 1, y, width - 2, _HEIGHT - _BOTTOM - y) if count else Markup())
            bars.append(hover_column(x, width, title))
        reason = [] if any(self.counts) else [_in_the_middle(self.reason)]
        return _drawn(self.description, [*_axes(top, self.span_s), *bars, *reason])

    @property
    def _part_s(self) -> float:
        return self.span_s / max(1, len(self.counts))


def readable(value: float | None) -> str:
    """Return a rounded number, with k, M or G for a large number, or a dash for `None`."""
    if value is None:
        return NOTHING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.3g}"


def rounded_up(peak: float) -> float:
    """Return the smallest end of an axis that covers `peak`, as 1, 2, 2.5 or 5 times a power of ten."""
    if peak <= 0 or not math.isfinite(peak):
        return 1.0
    power = 10.0 ** math.floor(math.log10(peak))
    return next(step * power for step in _STEPS if step * power >= peak * (1 - 1e-9))


def _drawn(description: str, parts: Sequence[Markup]) -> Markup:
    begin = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    return Markup("").join([begin.format(_WIDTH, _HEIGHT, description), *parts, Markup("</svg>")])


def _axes(top: float, span_s: float) -> Sequence[Markup]:
    """Return the lines and labels of both axes."""
    minutes, middle = span_s / _MINUTE_S, (_LEFT + _WIDTH - _RIGHT) / 2
    return [
        *(_level(top * part / _PARTS, top) for part in range(_PARTS + 1)),
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            _LEFT, _LEFT, _TOP, _HEIGHT - _BOTTOM
        ),
        tick(f"{minutes:.0f} min ago", _LEFT, _HEIGHT - 8, "start"),
        tick(f"{minutes / 2:.0f} min", middle, _HEIGHT - 8, "middle"),
        tick("now", _WIDTH - _RIGHT, _HEIGHT - 8, "end"),
    ]


def _in_the_middle(sentence: str) -> Markup:
    # Between two lines of the grid.
    y = _y((_PARTS / 2 + 0.5) / _PARTS, 1.0) + 5
    made = Markup('<text class="tick reason" x="{:.0f}" y="{:.0f}" text-anchor="middle">{}</text>')
    return made.format((_LEFT + _WIDTH - _RIGHT) / 2, y, sentence)


def hover_column(
    x: float, width: float, title: str, *, y: float = _TOP, height: float = _HEIGHT - _TOP - _BOTTOM
) -> Markup:
    """Return a transparent column that shows `title` when the mouse rests on it."""
    made = Markup(
        '<rect class="hover" x="{:.1f}" y="{:.0f}" width="{:.1f}" height="{:.0f}"><title>{}</title></rect>'
    )
    return made.format(x, y, width, height, title)


def _clock(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return NOTHING


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - min(1.0, max(0.0, value / top)) * (_HEIGHT - _TOP - _BOTTOM)


def _level(value: float, top: float) -> Markup:
    y = _y(value, top)
    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
    return line.format(_LEFT, _WIDTH - _RIGHT, y, y) + tick(readable(value), _LEFT - 6, y + 5, "end")


def tick(text: str, x: float, y: float, anchor: str) -> Markup:
    """Return a label of an axis."""
    made = Markup('<text class="tick" x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>')
    return made.format(x, y, anchor, text)
