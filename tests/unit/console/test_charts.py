"""Samples have a limited size, and a chart shows their values."""

import math
import re
import sys
from xml.etree import ElementTree as ET

import pytest

from streamer.clock import TurnedClock
from streamer.console.chart_drawing import BarChart, Chart, Line, readable, rounded_up
from streamer.console.charts import AnyChart, charts, sparkline, subscriber_charts
from streamer.console.samples import EVERY_S, Point, Sample, Sampler, Samples, Series
from streamer.events import Channel, Delivered, OrgId, Retry, SubscriberName
from streamer.observe.metrics import Metrics


def sample(at: float, **values: float) -> Sample:
    """Return a sample whose other series are 0."""
    return Sample(at=at, values={each: values.get(each.name, 0.0) for each in Series})


def samples(*every: Sample) -> Samples:
    """Return samples."""
    made = Samples()
    for each in every:
        made.add(each)
    return made


def test_series_are_those_of_the_metrics() -> None:
    """Summed over their labels; of deliveries only those that were delivered."""
    metrics = Metrics(clock=TurnedClock())
    for path in ("/data/ChangeEvents", "/event/X__e"):
        metrics.channel(Channel(org=OrgId("00D"), path=path)).appends.events.inc(2)
    subscriber = metrics.subscriber(SubscriberName("erp"))
    subscriber.attempts.outcomes[Delivered].inc(3)
    subscriber.attempts.outcomes[Retry].inc(5)
    subscriber.state.lag.set(7)
    sampler = Sampler(registry=metrics.registry, clock=TurnedClock())
    found = {series: sampler.samples().levels(series)[0].value for series in Series}

    assert (found[Series.EVENTS], found[Series.DELIVERED], found[Series.LAG]) == (4, 3, 7)
    assert found[Series.MEMORY] or sys.platform != "linux"


def test_every_series_names_a_metric_that_exists() -> None:
    """A metric that is renamed would leave a chart empty."""
    metrics = Metrics(clock=TurnedClock())
    metrics.channel(Channel(org=OrgId("00D"), path="/data/ChangeEvents"))
    metrics.subscriber(SubscriberName("erp"))
    metrics._dead_letters.labels("dispatch", "erp", "rejected")
    metrics._failed.labels("erp", "http_5xx")
    names = {sample.name for family in metrics.registry.collect() for sample in family.samples}

    assert (
        set(map(str, Series)) - (set() if sys.platform == "linux" else {"process_resident_memory_bytes"})
        <= names
    )


async def test_samples_cover_an_hour_and_no_more() -> None:
    """Whatever the time that a daemon runs."""
    clock = TurnedClock()
    made = samples(*(sample(each * EVERY_S) for each in range(1_000)))
    sampler = Sampler(registry=Metrics(clock=clock).registry, clock=clock)

    assert made.span_s == 3_600
    assert len(made.levels(Series.LAG)) == 361
    assert len(sampler.samples().levels(Series.LAG)) == len(sampler.samples().levels(Series.LAG)) == 1


def test_rates_survive_a_counter_that_falls() -> None:
    """A subscriber that is removed takes its count along."""
    made = samples(sample(0, EVENTS=10), sample(10, EVENTS=30), sample(20, EVENTS=5), sample(20, EVENTS=9))

    assert [each.value for each in made.rates(Series.EVENTS)] == [2, 0]
    assert made.growth(Series.EVENTS, 60) == 20
    assert Samples().growth(Series.EVENTS, 60) == 0


def test_mean_is_none_where_nothing_was_observed() -> None:
    """No age is not the age 0."""
    made = samples(sample(0), sample(10, AGE_SUM=6, AGE_COUNT=3), sample(20, AGE_SUM=6, AGE_COUNT=3))

    assert [each.value for each in made.means(Series.AGE_SUM, Series.AGE_COUNT)] == [2, None]


def test_line_is_interrupted_where_there_is_no_value() -> None:
    """And where the process stood still."""
    values = [(0, 1.0), (10, 2.0), (20, None), (30, 4.0), (90, 1.0), (100, 0.0)]
    points = [Point(at=at, value=value) for at, value in values]
    chart = Chart(title="x", unit="y", lines=[Line("z", points)], until=100, span_s=100)
    paths = re.findall(r' d="([^"]+)"', chart.svg)

    assert [each.count("L") for each in paths] == [1, 0, 1]
    assert paths[1].endswith("h0")
    assert paths[0].startswith("M64.0 ")
    assert paths[-1].endswith("592.0 166.0")


@pytest.mark.parametrize("until", [0.0, 100.0, 1e12])
def test_chart_is_whole_xml_that_tells_its_values(until: float) -> None:
    """With no sample, and with any."""
    made = samples(sample(0), sample(100, LAG=12_345, MEMORY=5e7))
    for chart in (*charts(made, until), *charts(Samples(), until)):
        drawn = ET.fromstring(chart.svg)  # noqa: S314 - our own
        assert drawn.attrib["aria-label"] == chart.description
    assert "Not settled: now 12.35k, at most 12.35k" in charts(made, 100)[2].description


def test_rare_things_are_counted_and_not_made_a_rate() -> None:
    """A single dead letter is one dead letter, and not six per minute."""
    made = samples(sample(0), sample(600, DEAD_LETTERS=0), sample(610, DEAD_LETTERS=1), sample(1_200))
    chart = next(each for each in charts(made, 1_200) if each.title == "Dead letters")

    assert isinstance(chart, BarChart)
    assert sum(chart.counts) == 1
    assert (chart.unit, "1 in total" in chart.description) == ("per 3 min", True)
    assert chart.svg.count('class="bar"') == 1
    assert ": 1</title>" in chart.svg


def test_newest_sample_is_in_the_last_part() -> None:
    """It lies on the end of the chart."""
    made = samples(sample(0), sample(600, DEAD_LETTERS=2))

    assert made.counts(Series.DEAD_LETTERS, until=600, span_s=600, parts=3) == [0, 0, 2]
    assert made.counts(Series.DEAD_LETTERS, until=9_000, span_s=600, parts=3) == [0, 0, 0]


def test_chart_says_its_values_where_the_mouse_rests() -> None:
    """Each column has the time, the unit and the value of each line."""
    points = [Point(at=at, value=at / 10) for at in range(0, 3_610, 10)]
    line = Line("Delivered", points)
    drawn = Chart(title="x", unit="per second", lines=[line], until=3_600, span_s=3_600).svg
    titles = re.findall("<title>([^<]+)</title>", drawn)

    assert len(titles) == 30
    assert titles[0] == "00:01:00 UTC, per second: Delivered 6"
    empty = Chart(title="x", unit="y", lines=[Line("z", [])], until=3_600, span_s=3_600)
    assert "<title>" not in empty.svg


def test_slow_rates_are_told_per_minute() -> None:
    """A thousandth of an event per second tells a reader nothing."""
    slow, fast = (
        next(each for each in charts(samples(sample(0), sample(60, EVENTS=count)), 60)) for count in (3, 600)
    )

    assert [(each.unit, each.lines[0].peak) for each in (slow, fast)] == [
        ("per minute", 3),
        ("per second", 10),
    ]


def test_one_subscriber_has_its_own_samples() -> None:
    """The others and the dead letters of ingest do not count."""
    metrics = Metrics(clock=TurnedClock())
    for name, delivered in (("erp", 3), ("slack", 8)):
        metrics.subscriber(SubscriberName(name)).attempts.outcomes[Delivered].inc(delivered)
    metrics._dead_letters.labels("ingest", "", "unreadable").inc()
    metrics._dead_letters.labels("dispatch", "erp", "rejected").inc(2)
    metrics.subscriber(SubscriberName("erp")).attempts.seconds.observe(0.5)
    found = Sampler(registry=metrics.registry, clock=TurnedClock()).samples().of("erp")
    last = {series: found.levels(series)[0].value for series in (Series.DELIVERED, Series.DEAD_LETTERS)}

    assert last == {Series.DELIVERED: 3, Series.DEAD_LETTERS: 2}
    assert found.levels(Series.ATTEMPT_SUM)[0].value == 0.5
    titles = [each.title for each in subscriber_charts(found, 0)]
    assert titles == ["Deliveries", "Latency", "Waiting events", "Dead letters"]


def test_first_attempts_of_a_subscriber_are_counted() -> None:
    """Its series begins with its first attempt; before, the count was 0."""
    metrics = Metrics(clock=TurnedClock())
    sampler = Sampler(registry=metrics.registry, clock=TurnedClock())
    sampler._kept.add(sampler.newest())
    metrics.subscriber(SubscriberName("erp")).attempts.outcomes[Delivered].inc(6)
    first = sampler.newest()
    sampler._kept.add(Sample(at=first.at + 10, values=first.values, subscribers=first.subscribers))

    assert sampler._kept.of("erp").growth(Series.DELIVERED, 60) == 6


def test_subscriber_without_samples_has_empty_charts() -> None:
    """Another process delivers to it, or it has just been configured."""
    for chart in subscriber_charts(samples(sample(0)).of("new"), 0):
        assert ET.fromstring(chart.svg).attrib["role"] == "img"  # noqa: S314 - our own


async def test_small_picture_counts_the_deliveries_of_the_hour() -> None:
    """Of its subscriber alone."""
    clock = TurnedClock()
    metrics = Metrics(clock=clock)
    delivered = metrics.subscriber(SubscriberName("erp")).attempts.outcomes[Delivered]
    sampler = Sampler(registry=metrics.registry, clock=clock)
    for _ in range(50):
        sampler._kept.add(sampler.newest())
        delivered.inc(2)
        await clock.turn(EVERY_S)
    drawn = sparkline([sampler.samples()], "erp", clock.now())

    assert "<title>100 deliveries in the last hour</title>" in drawn
    assert drawn.endswith("</svg> 100")
    assert "<title>0 deliveries in the last hour</title>" in sparkline(
        [sampler.samples()], "other", clock.now()
    )


def shown(chart: AnyChart) -> str:
    """Return the sentence in the middle of a chart, or nothing."""
    found = re.search('class="tick reason"[^>]*>([^<]+)<', chart.svg)
    return found[1] if found else ""


def test_chart_without_data_says_why() -> None:
    """An empty frame looks like a fault of the page."""
    made = samples(*(sample(each * EVERY_S) for each in range(361)))
    said = {each.title: shown(each) for each in (*charts(made, 3_600), *subscriber_charts(made, 3_600))}

    assert said == {
        "Events into the log": "",
        "Deliveries": "",
        "Waiting events": "",
        "Memory": "",
        "Age of events": "No new event in the last hour",
        "Latency": "No delivery was tried in the last hour",
        "Dead letters": "No dead letter in the last hour",
    }
    for each in charts(made, 3_600):
        assert shown(each) in each.description


def test_chart_with_data_says_no_reason() -> None:
    """One delivery is enough."""
    made = samples(
        *(sample(each * EVERY_S) for each in range(60)),
        sample(600, ATTEMPT_SUM=2, ATTEMPT_COUNT=1, DELIVERED=1, DEAD_LETTERS=1),
    )

    assert {shown(each) for each in subscriber_charts(made, 600)} == {""}
    assert shown(charts(made, 600)[3]) == "No new event in the last 10 min"


def test_charts_of_a_young_process_say_when_they_begin() -> None:
    """A dot at the edge of a chart can't be seen."""
    young = samples(sample(0), sample(8))
    sentence = "The first line comes after 20 s"

    for made in (young, Samples()):
        assert {shown(each) for each in charts(made, 8)} == {sentence}
        assert {shown(each) for each in subscriber_charts(made, 8)} == {sentence}
    old_enough = samples(sample(0), sample(10), sample(20))
    assert sentence not in {shown(each) for each in charts(old_enough, 20)}


def test_name_of_a_line_is_escaped() -> None:
    """Though no outside word is one today."""
    chart = Chart(title='"><b>', unit="y", lines=[Line("z", [])], until=0, span_s=60)
    assert "<b>" not in chart.svg


def test_chart_spans_what_was_sampled() -> None:
    """So that a young process has more than a dot to show."""
    spans = [charts(samples(sample(0), sample(to)), to)[0].span_s for to in (0, 600, 610, 3_600)]
    assert spans == [600, 600, 1_800, 3_600]


@pytest.mark.parametrize(
    ("peak", "top"),
    [(0, 1), (-1, 1), (math.inf, 1), (0.3, 0.5), (1, 1), (1.1, 2), (24, 25), (99, 100), (2e9, 2e9)],
)
def test_axis_ends_at_a_round_number(peak: float, top: float) -> None:
    """Above the largest value."""
    assert rounded_up(peak) == pytest.approx(top)


def test_numbers_are_short() -> None:
    """They stand beside an axis."""
    assert [readable(each) for each in (None, 0, 0.123456, 12.5, 1_500, 2e6, 3e9)] == [
        *("\N{EN DASH}", "0", "0.123", "12.5", "1.5k", "2M", "3G"),
    ]
