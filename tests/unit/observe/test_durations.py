"""Times between two moments are short and exact enough."""

import pytest

from streamer.observe.durations import difference


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
