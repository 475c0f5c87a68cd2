"""The forecast continues the fall of the last hour, or there is no forecast."""

from collections.abc import Iterable

import pytest

from streamer.quota.limits import Limit
from streamer.quota.monitor import Forecast


def forecast(readings: Iterable[tuple[float, int]], most: int = 10_000) -> Forecast:
    """Return the forecast after `(minute, remaining)` readings."""
    made = Forecast()
    for minute, remaining in readings:
        made.add(Limit(most=most, remaining=remaining), minute * 60.0)
    return made


def test_the_rate_of_the_last_hour_goes_on() -> None:
    """A hundred in five minutes, so that 2,000 last for 100 minutes."""
    readings = [(minute, 3_200 - minute * 20) for minute in range(0, 65, 5)]
    assert forecast(readings).seconds_left() == pytest.approx(100 * 60.0)


def test_what_was_an_hour_ago_is_forgotten() -> None:
    """A burst leaves the rate with the hour."""
    burst = [(0, 9_000), (5, 5_000)]
    quiet = [(minute, 5_000) for minute in range(10, 70, 5)]
    assert forecast(burst + quiet[:-1]).seconds_left() is not None
    assert forecast(burst + quiet).seconds_left() is None


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [(0, 500)],
        [(0, 500), (14, 300)],
        [(0, 500), (30, 500)],
        [(0, 500), (30, 900)],
        [(0, 5_000), (60, 4_999)],
    ],
)
def test_there_is_none_without_a_rate(readings: list[tuple[float, int]]) -> None:
    """Too few readings, no fall, or one that would last beyond the rolling day."""
    assert forecast(readings).seconds_left() is None


def test_nothing_left_is_used_up_now() -> None:
    """Also by the first reading."""
    assert forecast([(0, 0)]).seconds_left() == 0.0


def test_an_org_without_the_limit_has_none() -> None:
    """Neither a limit of nothing nor a missing one is used up."""
    assert forecast([(0, 0)], most=0).seconds_left() is None
    missing = forecast([(0, 500), (30, 100)])
    assert missing.seconds_left() is not None
    missing.add(None, 35 * 60.0)
    assert missing.seconds_left() is None


def test_another_maximum_begins_anew() -> None:
    """An add-on that ends does not use events."""
    changed = forecast([(0, 100_500), (30, 100_400)], most=110_000)
    changed.add(Limit(most=10_000, remaining=400), 60 * 60.0)
    assert changed.seconds_left() is None
