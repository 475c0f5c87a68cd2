"""Charts of the processes and of one subscriber in the last hour, and small pictures for tables."""

from collections.abc import Mapping, Sequence
from functools import partial

from markupsafe import Markup

from streamer.console.chart_drawing import BarChart, Chart, Line, readable
from streamer.console.samples import EVERY_S, HOUR_S, Samples, Series
from streamer.observe.durations import duration

_MEGABYTE = 1e6
# A line needs two points, and a rate compares two samples.
_YOUNG_S = 2 * EVERY_S
_MINUTE_S = 60.0
# Each span of time, with the width of a bar.
_SPANS_S = {600.0: 60.0, 1_800.0: 180.0, HOUR_S: 300.0}
# A small picture has a point for each two minutes.
_SPARKS = 30
_SPARK_WIDTH, _SPARK_HEIGHT = 120, 28

AnyChart = Chart | BarChart


def charts(samples: Samples, until: float) -> Sequence[AnyChart]:
    """Return the overview's charts of the last hour, or of the sampled part of the hour."""
    age = [
        Line("In the log", samples.means(Series.AGE_SUM, Series.AGE_COUNT)),
        Line("At the target", samples.means(Series.TO_TARGET_SUM, Series.TO_TARGET_COUNT)),
    ]
    memory = [Line("Memory", samples.levels(Series.MEMORY, scale=_MEGABYTE))]
    chart = partial(_chart, samples, until)
    return [
        chart("Events into the log", *_rates(samples, {"Events": Series.EVENTS})),
        chart("Deliveries", *_deliveries(samples)),
        chart("Waiting events", "events", _waiting(samples)),
        chart("Age of events", "mean, in seconds", age, "No new event"),
        _dead_letters(samples, until),
        chart("Memory", "MB", memory),
    ]


def subscriber_charts(samples: Samples, until: float) -> Sequence[AnyChart]:
    """Return the charts of one subscriber in the last hour; `samples` belong to the subscriber."""
    latency = [
        Line("One attempt", samples.means(Series.ATTEMPT_SUM, Series.ATTEMPT_COUNT)),
        Line("From the commit to the target", samples.means(Series.TO_TARGET_SUM, Series.TO_TARGET_COUNT)),
    ]
    chart = partial(_chart, samples, until)
    return [
        chart("Deliveries", *_deliveries(samples)),
        chart("Latency", "mean, in seconds", latency, "No delivery was tried"),
        chart("Waiting events", "events", _waiting(samples)),
        _dead_letters(samples, until),
    ]


def _chart(
    samples: Samples, until: float, title: str, unit: str, lines: Sequence[Line], nothing: str = "No sample"
) -> Chart:
    """Return a chart, without the dots of a process that is too young for lines."""
    shown = [Line(each.name, ()) for each in lines] if samples.span_s < _YOUNG_S else lines
    return Chart(
        title=title,
        unit=unit,
        lines=shown,
        until=until,
        span_s=_span_s(samples),
        gap_s=max(4.5 * EVERY_S, 1.5 * samples.every_s),
        reason=_reason(samples, nothing),
    )


def _reason(samples: Samples, nothing: str) -> str:
    """Return the sentence of a chart that has `nothing` to show."""
    if samples.span_s < _YOUNG_S:
        return f"The first line comes after {_YOUNG_S:.0f} s"
    span_s = _span_s(samples)
    return f"{nothing} in the last {'hour' if span_s == HOUR_S else duration(span_s)}"


def _deliveries(samples: Samples) -> tuple[str, Sequence[Line]]:
    return _rates(samples, {"Delivered": Series.DELIVERED, "Failed attempts": Series.FAILED})


def _rates(samples: Samples, series: Mapping[str, Series]) -> tuple[str, Sequence[Line]]:
    """Return lines of rates with their unit: per minute if there is less than one per second."""
    for unit, per_s in (("per second", 1.0), ("per minute", _MINUTE_S)):
        lines = [Line(name, samples.rates(each, per_s=per_s)) for name, each in series.items()]
        if max(line.peak for line in lines) >= 1:
            return unit, lines
    return unit, lines


def _waiting(samples: Samples) -> Sequence[Line]:
    return [
        Line("Not settled", samples.levels(Series.LAG)),
        Line("Parked", samples.levels(Series.PARKED)),
    ]


def _dead_letters(samples: Samples, until: float) -> BarChart:
    span_s = _span_s(samples)
    parts = round(span_s / _SPANS_S[span_s])
    counts = samples.counts(Series.DEAD_LETTERS, until=until, span_s=span_s, parts=parts)
    reason = _reason(samples, "No dead letter")
    return BarChart(title="Dead letters", counts=counts, until=until, span_s=span_s, reason=reason)


def _span_s(samples: Samples) -> float:
    return next((span for span in _SPANS_S if span >= samples.span_s), HOUR_S)


def sparkline(shares: Sequence[Samples], subscriber: str, until: float) -> Markup:
    """Return a small picture of a subscriber's deliveries in the last hour, and their number beside it.

    It adds up the `shares`, which are the samples of each process.
    """
    every = round(HOUR_S / _SPARKS / EVERY_S)
    # Other processes report a sample only each minute.
    own, *others = (share.of(subscriber, every=2 if number else every) for number, share in enumerate(shares))
    counts = [
        sum(parts)
        for parts in zip(
            *(
                each.counts(Series.DELIVERED, until=until, span_s=HOUR_S, parts=_SPARKS)
                for each in (own, *others)
            ),
            strict=True,
        )
    ]
    top, step, low = max(counts), _SPARK_WIDTH / _SPARKS, _SPARK_HEIGHT - 3
    total = readable(sum(counts))
    points = " ".join(
        f"{step * (number + 0.5):.0f},{low - (low - 3) * count / (top or 1):.1f}"
        for number, count in enumerate(counts)
    )
    made = Markup(
        '<svg class="spark" viewBox="0 0 {} {}" aria-hidden="true"><title>{} deliveries in the last hour'
        '</title><polyline class="line" points="{}"/></svg> {}'
    )
    return made.format(_SPARK_WIDTH, _SPARK_HEIGHT, total, points, total)
