"""The times of the retries of a failed delivery."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streamer.dispatch.delivery.retry_schedule import RetrySchedule

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


def test_attempts_last_for_as_long_as_configured_on_average() -> None:
    """Time in which nothing is tried must not count, so attempts do."""
    waited = [sum(SCHEDULE.delay_s(number) for number in range(1, SCHEDULE.attempts)) for _ in range(200)]

    assert math.isclose(sum(waited) / len(waited), 3600.0, rel_tol=0.1)


@given(first=st.floats(0.001, 1e4), longest=st.floats(0.001, 1e5), end=st.floats(0.001, 1e6))
def test_number_of_attempts_is_bounded(first: float, longest: float, end: float) -> None:
    """Whatever is configured, an event is tried at least twice and not for ever."""
    schedule = RetrySchedule(first_delay_s=first, max_delay_s=longest, give_up_after_s=end)

    assert 2 <= schedule.attempts <= 100_000


def test_few_short_retries_are_made_from_memory() -> None:
    """Then the log keeps the event."""
    assert SCHEDULE.is_fast(3, 4.0)
    assert not SCHEDULE.is_fast(4, 4.0)
    assert not SCHEDULE.is_fast(1, 60.0)


def test_retries_from_memory_are_short_altogether() -> None:
    """However many are configured."""
    schedule = replace(SCHEDULE, fast_tries=20)

    assert schedule.is_fast(20, 5.0)
    assert not schedule.is_fast(1, 5.1)


@given(attempts=st.integers(1, 200))
def test_attempts_that_take_no_time_are_counted_alone(attempts: int) -> None:
    """Then the delays are all of the time."""
    assert SCHEDULE.is_over(attempts, 0.0) is (attempts >= SCHEDULE.attempts)


def test_time_of_the_attempts_counts() -> None:
    """Twenty seconds are not two minutes because each attempt takes ten of them."""
    schedule = RetrySchedule(first_delay_s=1.0, max_delay_s=60.0, give_up_after_s=20.0)

    assert not schedule.is_over(1, 30.0)
    assert not schedule.is_over(2, 19.0)
    assert schedule.is_over(2, 20.0)
