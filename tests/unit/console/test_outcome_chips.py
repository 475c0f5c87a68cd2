"""The outcomes of events and the histogram agree."""

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from streamer.console.histogram import Histogram
from streamer.console.outcome_chips import LEVELS, chips_of, worst_of
from streamer.events import EventOutcome, JsonObject

DEAD, DELIVERED, SKIPPED = EventOutcome.DEAD, EventOutcome.DELIVERED, EventOutcome.SKIPPED


@pytest.mark.parametrize(
    ("outcomes", "texts"),
    [
        ({}, []),
        ({"a": DELIVERED}, ["delivered"]),
        ({"a": DELIVERED, "b": SKIPPED}, ["delivered"]),
        ({"a": SKIPPED, "b": SKIPPED}, ["skipped"]),
        ({"a": DELIVERED, "b": DEAD, "c": DELIVERED}, ["1 dead letter", "2 delivered"]),
        ({"a": DEAD, "b": DEAD}, ["2 dead letters"]),
    ],
)
def test_chips_count_the_subscribers_that_select_the_event(
    outcomes: dict[str, EventOutcome], texts: list[str]
) -> None:
    """The worst comes first."""
    assert [each.text for each in chips_of(outcomes)] == texts


def test_chip_names_its_subscribers() -> None:
    """They are seen where the mouse rests."""
    chips = chips_of({"a": DELIVERED, "b": DEAD, "c": DELIVERED, "d": SKIPPED})

    assert [(each.who, each.level) for each in chips] == [("b", "bad"), ("a, c", "good")]


def test_every_outcome_has_a_colour() -> None:
    """A new outcome needs one too."""
    assert LEVELS.keys() == set(EventOutcome)


def test_worst_outcome_decides_for_the_event() -> None:
    """An event that is skipped everywhere is skipped."""
    assert worst_of({"a": DELIVERED, "b": DEAD, "c": SKIPPED}) is DEAD
    assert worst_of({"a": SKIPPED}) is SKIPPED
    assert worst_of({}) is None


def event(second: float, *outcomes: EventOutcome) -> JsonObject:
    """Return a listed event."""
    at = datetime.fromtimestamp(1_735_689_600 + second, UTC).isoformat()
    return {"time": at, "outcomes": {str(number): each for number, each in enumerate(outcomes)}}


def test_histogram_covers_the_time_of_the_listed_events() -> None:
    """The first event is in the first bar, and the last one in the last bar."""
    found = Histogram.of([event(480, DEAD), event(0, DELIVERED), event(475, DELIVERED, SKIPPED)])
    assert found is not None

    assert [(number, dict(bar)) for number, bar in enumerate(found.bars) if bar] == [
        (0, {"delivered": 1}),
        (47, {"dead": 1, "delivered": 1}),
    ]
    assert [(each.word, each.level, each.count) for each in found.legend] == [
        ("dead letter", "bad", 1),
        ("delivered", "good", 2),
    ]
    assert found.description == (
        "Listed events from 2025-01-01 00:00:00 UTC to 2025-01-01 00:08:00 UTC: 1 dead letter, 2 delivered."
    )
    drawn = ET.fromstring(found.svg)  # noqa: S314 - our own
    assert drawn.attrib["aria-label"] == found.description
    assert "<title>2025-01-01 00:07:50 UTC, 10.0 s: 1 dead letter, 1 delivered</title>" in found.svg


def test_histogram_bears_events_of_one_moment_and_none() -> None:
    """A time span of nothing can't be divided."""
    found = Histogram.of([event(0, DELIVERED), event(0)])
    assert found is not None

    assert sum(bar.total() for bar in found.bars) == 2
    assert "1 delivered, 1 no subscriber" in found.description
    assert Histogram.of([]) is None
