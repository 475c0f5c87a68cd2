"""Line charts as SVG, drawn on the server: no script, no image of another host."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from streamer.console.samples import HOUR_S, Point, Samples, Series

_WIDTH, _HEIGHT = 600, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 24
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PARTS = 4
_MEGABYTE = 1e6
# A hole in the samples that is longer shows as one.
_GAP_S = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Line of a chart with its `name`; `points` are from the oldest to the newest."""

    name: str
    points: Sequence[Point]

    @property
    def latest(self) -> float | None:
        """Newest value, if the newest point has one."""
        return self.points[-1].value if self.points else None

    @property
    def peak(self) -> float:
        """Largest value, 0 without any."""
        return max((each.value for each in self.points if each.value is not None), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Chart of the hour before `until`, in epoch seconds; the values of all lines have one `unit`."""

    title: str
    unit: str
    lines: Sequence[Line]
    until: float

    @property
    def description(self) -> str:
        """What a person hears who does not see the chart."""
        said = (
            f"{line.name}: now {readable(line.latest)}, at most {readable(line.peak)} in the last hour"
            for line in self.lines
        )
        return f"{self.title}, in {self.unit}. {'; '.join(said)}."

    @property
    def svg(self) -> Markup:
        """The chart as an SVG element, whose colours are those of the style sheet."""
        top = rounded_up(max(line.peak for line in self.lines))
        parts = [Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            _WIDTH, _HEIGHT, self.description
        )]  # fmt: skip
        for part in range(_PARTS + 1):
            parts.append(_level(top * part / _PARTS, top))
        for text, x, anchor in (
            ("60 min ago", _LEFT, "start"),
            ("30 min", (_LEFT + _WIDTH - _RIGHT) / 2, "middle"),
            ("now", _WIDTH - _RIGHT, "end"),
        ):
            parts.append(
                Markup('<text class="tick" x="{:.0f}" y="{}" text-anchor="{}">{}</text>').format(
                    x, _HEIGHT - 6, anchor, text
                )
            )
        for number, line in enumerate(self.lines):
            for path in self._paths(line, top):
                parts.append(Markup('<path class="line line-{}" d="{}"/>').format(number, path))
        return Markup("").join([*parts, Markup("</svg>")])

    def _paths(self, line: Line, top: float) -> Sequence[str]:
        """Return the parts of a line; it is interrupted where there are no values."""
        paths: list[list[str]] = []
        before: Point | None = None
        for point in line.points:
            if point.value is None or point.at < self.until - HOUR_S:
                before = None
                continue
            if before is None or point.at - before.at > _GAP_S:
                paths.append([])
            paths[-1].append(f"{self._x(point.at):.1f} {_y(point.value, top):.1f}")
            before = point
        # A single point is a dot, which round ends make of a line to itself.
        return [f"M{' L'.join(path if len(path) > 1 else path * 2)}" for path in paths]

    def _x(self, at: float) -> float:
        share = 1 - (self.until - at) / HOUR_S
        return _LEFT + min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT)


def charts(samples: Samples, until: float) -> Sequence[Chart]:
    """Return the charts of the overview."""
    minutes = [("Delivered", Series.DELIVERED), ("Failed attempts", Series.FAILED)]
    drawn: list[tuple[str, str, list[Line]]] = [
        ("Events into the log", "events per second", [_line("Events", samples.rates(Series.EVENTS))]),
        ("Deliveries", "per second", [_line(name, samples.rates(each)) for name, each in minutes]),
        (
            "Events that wait",
            "events",
            [
                _line("Not settled", samples.levels(Series.LAG)),
                _line("Parked", samples.levels(Series.PARKED)),
            ],
        ),
        (
            "Age of events",
            "seconds, mean",
            [
                _line("In the log", samples.means(Series.AGE_SUM, Series.AGE_COUNT)),
                _line("At the target", samples.means(Series.TO_TARGET_SUM, Series.TO_TARGET_COUNT)),
            ],
        ),
        (
            "Dead letters",
            "per minute",
            [_line("Set aside", samples.rates(Series.DEAD_LETTERS, per_s=60.0))],
        ),
        ("Memory of the process", "MB", [_line("Memory", samples.levels(Series.MEMORY, scale=_MEGABYTE))]),
    ]
    return [Chart(title=title, unit=unit, lines=lines, until=until) for title, unit, lines in drawn]


def readable(value: float | None) -> str:
    """Return a number with three digits that count, or a dash."""
    if value is None:
        return "–"
    if value >= 1_000:  # noqa: PLR2004 - digits in groups of three
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rounded_up(peak: float) -> float:
    """Return the end of an axis for values up to `peak`: 1, 2, 2.5 or 5 times a power of ten."""
    if peak <= 0 or not math.isfinite(peak):
        return 1.0
    power = 10.0 ** math.floor(math.log10(peak))
    return next(step * power for step in _STEPS if step * power >= peak * (1 - 1e-9))


def _line(name: str, points: Sequence[Point]) -> Line:
    return Line(name=name, points=points)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - min(1.0, max(0.0, value / top)) * (_HEIGHT - _TOP - _BOTTOM)


def _level(value: float, top: float) -> Markup:
    y = _y(value, top)
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, y, y, _LEFT - 6, y + 4, readable(value))
