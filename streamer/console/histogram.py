"""Histogram of listed events over time, as an SVG that the server draws."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from streamer.console.chart_drawing import hover_column, tick
from streamer.console.outcome_chips import LEVELS, words_of, worst_of
from streamer.events import EventOutcome
from streamer.observe.durations import difference

_WIDTH, _HEIGHT = 960, 116
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 20, 36
_BARS = 48
_SHORTEST_S = 1.0
_DAY_S = 86_400.0
_NO_SUBSCRIBER = "no subscriber"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramKey:
    """Outcome in the legend with the number of its events."""

    word: str
    level: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Numbers of events in equal parts of the time from `begin` to `end`, in epoch seconds.

    An event counts with its worst outcome at any subscriber.
    """

    begin: float
    end: float
    bars: Sequence[Counter[str]]

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> "Histogram | None":
        """Return the histogram of listed events, or `None` without events."""
        if not events:
            return None
        times = [datetime.fromisoformat(each["time"]).timestamp() for each in events]
        middle, span_s = (min(times) + max(times)) / 2, max(_SHORTEST_S, max(times) - min(times))
        begin, bars = middle - span_s / 2, [Counter[str]() for _ in range(_BARS)]
        for at, event in zip(times, events, strict=True):
            part = min(_BARS - 1, int((at - begin) / span_s * _BARS))
            bars[part][worst_of(event["outcomes"]) or _NO_SUBSCRIBER] += 1
        return cls(begin=begin, end=begin + span_s, bars=bars)

    @property
    def legend(self) -> Sequence[HistogramKey]:
        """Outcomes with their numbers, the worst first."""
        total: Counter[str] = sum(self.bars, Counter())
        return [
            HistogramKey(word=words_of(word, total[word]), level=_level(word), count=total[word])
            for word in _WORDS
            if total[word]
        ]

    @property
    def description(self) -> str:
        """Text that describes the histogram for people who can't see it."""
        said = ", ".join(f"{each.count:,} {each.word}" for each in self.legend)
        return f"Listed events from {self._moment(self.begin)} to {self._moment(self.end)}: {said}."

    @property
    def svg(self) -> Markup:
        """SVG element, with the style sheet's colours."""
        top = max(each.total() for each in self.bars)
        begin = Markup('<svg class="histogram" viewBox="0 0 {} {}" role="img" aria-label="{}">')
        base = _HEIGHT - _BOTTOM
        axis = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        width = (_WIDTH - _LEFT - _RIGHT) / _BARS
        bars = [self._bar(number, _LEFT + number * width, width, top) for number in range(_BARS)]
        parts = [
            begin.format(_WIDTH, _HEIGHT, self.description),
            axis.format(_LEFT, _WIDTH - _RIGHT, base, base),
            tick(f"{top:,}", _LEFT - 6, _TOP + 5, "end"),
            tick("0", _LEFT - 6, base + 4, "end"),
            *bars,
            tick(self._moment(self.begin), _LEFT, _HEIGHT - 8, "start"),
            tick(self._moment(self.end), _WIDTH - _RIGHT, _HEIGHT - 8, "end"),
        ]
        return Markup("").join([*parts, Markup("</svg>")])

    def _bar(self, number: int, x: float, width: float, top: int) -> Markup:
        """Return one bar, with the worst outcome at its foot, and its numbers where the mouse rests."""
        counts, base = self.bars[number], _HEIGHT - _BOTTOM
        if not counts:
            return Markup()
        drawn, foot = [], float(base)
        for word in _WORDS:
            height = counts[word] / top * (base - _TOP)
            made = Markup('<rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
            drawn += [made.format(_level(word), x + 1, foot - height, width - 2, height)] if height else []
            foot -= height
        part_s = (self.end - self.begin) / _BARS
        said = ", ".join(
            f"{counts[word]:,} {words_of(word, counts[word])}" for word in _WORDS if counts[word]
        )
        span = f"{self._moment(self.begin + number * part_s)}, {difference(part_s).removeprefix('+')}"
        hover = hover_column(x, width, f"{span}: {said}", y=_TOP, height=base - _TOP)
        return Markup("").join([*drawn, hover])

    def _moment(self, at: float) -> str:
        """Return a time in UTC, with its date if the histogram is longer than a day."""
        try:
            found = datetime.fromtimestamp(at, UTC)
        except (OverflowError, ValueError, OSError):
            return "an unknown time"
        is_long = self.end - self.begin >= _DAY_S
        return f"{found:%Y-%m-%d %H:%M} UTC" if is_long else f"{found:%Y-%m-%d %H:%M:%S} UTC"


_WORDS = (*(each.value for each in EventOutcome), _NO_SUBSCRIBER)


def _level(word: str) -> str:
    return "quiet" if word == _NO_SUBSCRIBER else LEVELS[EventOutcome(word)]
