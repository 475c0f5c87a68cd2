"""Times between two moments are short and exact enough."""

import pytest

from streamer.observe.durations import difference, since


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "+0 ms"),
        (0.0124, "+12 ms"),
        (0.9996, "+1.00 s"),
        (9.996, "+10.0 s"),
        (59.96, "+1 min 0 s"),
        (200, "+3 min 20 s"),
        (7_500, "+2 h 5 min"),
        (90_000, "+1 d 1 h"),
        (-0.5, "\N{MINUS SIGN}500 ms"),
    ],
)
def test_difference_has_a_sign_and_a_fitting_unit(seconds: float, text: str) -> None:
    """A rounded number never reaches the next unit."""
    assert difference(seconds) == text


@pytest.mark.parametrize(
    ("lasts_s", "text"),
    [
        (40, "since 23:30 UTC (40 s)"),
        (720, "since 23:30 UTC (12 min)"),
        (2_700, "since 2024-12-31 23:30 UTC (45 min)"),
        (200_000, "since 2024-12-31 23:30 UTC (2 d)"),
    ],
)
def test_beginning_has_its_day_unless_it_is_today(lasts_s: float, text: str) -> None:
    """An operator reads a time alone as a time of today."""
    assert since(1_735_687_800.0, lasts_s) == text
