"""Line charts as SVG, drawn on the server, without scripts or images from other hosts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from streamer.console.samples import HOUR_S, NOTHING, Point, Samples, Series

_WIDTH, _HEIGHT = 600, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 14, 34
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PARTS = 4
_MEGABYTE = 1e6
_MINUTE_S = 60.0
_SPANS_S = (600.0, 1_800.0, HOUR_S)
# A longer gap between samples interrupts the line.
_GAP_S = 45.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Chart of the `span_s` seconds before `until`, in epoch seconds; all values have one `unit`."""

    title: str
    unit: str
    lines: Sequence[Line]
    until: float
    span_s: float

    @property
    def description(self) -> str:
        """Text that describes the chart for people who can't see it."""
        said = (
            f"{line.name}: now {readable(line.latest)}, at most {readable(line.peak)}" for line in self.lines
        )
        minutes = f"{self.span_s / _MINUTE_S:.0f} minutes"
        return f"{self.title}, {self.unit}, in the last {minutes}. {'; '.join(said)}."

    @property
    def svg(self) -> Markup:
        """SVG element of the chart, with the style sheet's colours."""
        top = rounded_up(max(line.peak for line in self.lines))
        begin = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        levels = [_level(top * part / _PARTS, top) for part in range(_PARTS + 1)]
        paths = [
            Markup('<path class="line line-{}" d="{}"/>').format(number, path)
            for number, line in enumerate(self.lines)
            for path in self._paths(line, top)
        ]
        parts = [begin.format(_WIDTH, _HEIGHT, self.description), *levels, *self._times(), *paths]
        return Markup("").join([*parts, Markup("</svg>")])

    def _times(self) -> Sequence[Markup]:
        minutes = self.span_s / _MINUTE_S
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        return [
            _text(f"{minutes:.0f} min ago", _LEFT, _HEIGHT - 8, "start"),
            _text(f"{minutes / 2:.0f} min", middle, _HEIGHT - 8, "middle"),
            _text("now", _WIDTH - _RIGHT, _HEIGHT - 8, "end"),
        ]

    def _paths(self, line: Line, top: float) -> Sequence[str]:
        """Return the parts of a line. Points without a value interrupt the line."""
        paths: list[list[str]] = []
        before: Point | None = None
        for point in line.points:
            if point.value is None or point.at < self.until - self.span_s:
                before = None
                continue
            if before is None or point.at - before.at > _GAP_S:
                paths.append([])
            paths[-1].append(f"{self._x(point.at):.1f} {_y(point.value, top):.1f}")
            before = point
        # A line from a point to itself, with round ends, draws a dot.
        return [f"M{' L'.join(path if len(path) > 1 else path * 2)}" for path in paths]

    def _x(self, at: float) -> float:
        share = 1 - (self.until - at) / self.span_s
        return _LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT)


def charts(samples: Samples, until: float) -> Sequence[Chart]:
    """Return the overview's charts of the last hour, or of the sampled part of the hour."""
    age = [
        Line("In the log", samples.means(Series.AGE_SUM, Series.AGE_COUNT)),
        Line("At the target", samples.means(Series.TO_TARGET_SUM, Series.TO_TARGET_COUNT)),
    ]
    deliveries = [
        Line("Delivered", samples.rates(Series.DELIVERED)),
        Line("Failed attempts", samples.rates(Series.FAILED)),
    ]
    waiting = [
        Line("Not settled", samples.levels(Series.LAG)),
        Line("Parked", samples.levels(Series.PARKED)),
    ]
    set_aside = [Line("Set aside", samples.rates(Series.DEAD_LETTERS, per_s=_MINUTE_S))]
    memory = [Line("Memory", samples.levels(Series.MEMORY, scale=_MEGABYTE))]
    span_s = next((span for span in _SPANS_S if span >= samples.span_s), HOUR_S)
    drawn = [
        ("Events into the log", "events per second", [Line("Events", samples.rates(Series.EVENTS))]),
        ("Deliveries", "per second", deliveries),
        ("Waiting events", "events", waiting),
        ("Age of events", "mean, in seconds", age),
        ("Dead letters", "per minute", set_aside),
        ("Memory of the process", "MB", memory),
    ]
    return [
        Chart(title=title, unit=unit, lines=lines, until=until, span_s=span_s) for title, unit, lines in drawn
    ]


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


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - min(1.0, max(0.0, value / top)) * (_HEIGHT - _TOP - _BOTTOM)


def _level(value: float, top: float) -> Markup:
    y = _y(value, top)
    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
    return line.format(_LEFT, _WIDTH - _RIGHT, y, y) + _text(readable(value), _LEFT - 6, y + 5, "end")


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    made = Markup('<text class="tick" x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>')
    return made.format(x, y, anchor, text)
