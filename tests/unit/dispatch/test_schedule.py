"""When a failed delivery is tried again."""

import math

from hypothesis import given
from hypothesis import strategies as st

from streamer.dispatch.schedule import RetrySchedule

SCHEDULE = RetrySchedule(first_delay_s=1.0, max_delay_s=60.0, give_up_after_s=3600.0)


@given(attempts=st.integers(1, 10**6))
def test_delay_is_any_up_to_the_ceiling(attempts: int) -> None:
    """Keys that failed together do not come back together, nor later than the longest delay."""
    assert 0.0 <= SCHEDULE.delay_s(attempts) <= min(60.0, 2.0 ** min(attempts - 1, 10))


def test_ceiling_doubles_until_its_limit() -> None:
    """1, 2, 4 … 60 seconds."""
    latest = RetrySchedule(
        first_delay_s=1.0, max_delay_s=60.0, give_up_after_s=3600.0, jitter=lambda _, high: high
    )

    assert [latest.delay_s(attempts) for attempts in (1, 2, 3, 6, 7, 5000)] == [1, 2, 4, 32, 60, 60]


@given(asked=st.floats())
def test_target_decides_within_reason(asked: float) -> None:
    """Zero would be a storm, and infinity would never end."""
    assert 0.1 <= SCHEDULE.delay_s(1, asked_s=asked) <= 3600.0
    if 0.1 <= asked <= 3600.0:
        assert math.isclose(SCHEDULE.delay_s(1, asked_s=asked), asked)


def test_give_up_comes_when_its_time_is_over() -> None:
    """Not before, and not later."""
    assert not SCHEDULE.is_over(failing_for_s=3599.9)
    assert SCHEDULE.is_over(failing_for_s=3600.0)
