"""A target never gets more attempts than its rate allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import TurnedClock
from streamer.dispatch.admission.concurrency import TokenBucket


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


def begun(rate: TokenBucket, clock: TurnedClock, pauses: list[float]) -> list[float]:
    """Begin an attempt after each of the pauses, as soon as it may; return when."""
    times = []
    for pause in pauses:
        clock.jump(pause)
        if delay_s := rate.delay_s():
            clock.jump(delay_s)
            assert rate.delay_s() == 0.0
        times.append(clock.monotonic())
    return times


def most_above(times: list[float], per_second: float) -> float:
    """Return by how much the attempts of any span exceed what `per_second` makes of it."""
    return max(
        last - first + 1 - per_second * (times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


@given(
    per_second=st.floats(0.01, 5_000),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 3) | st.just(0.0), min_size=1, max_size=60),
)
def test_no_span_holds_more_than_burst_and_rate(per_second: float, burst: int, pauses: list[float]) -> None:
    """However the attempts come, a target that counts them in windows of its own never counts too many."""
    clock = TurnedClock(1_000.0)

    assert most_above(begun(TokenBucket(per_second, burst, clock), clock, pauses), per_second) <= burst + 1e-6


def test_burst_goes_at_once_and_the_rest_at_the_rate(clock: TurnedClock) -> None:
    """Three, and then one every half second."""
    began = clock.monotonic()
    times = begun(TokenBucket(2.0, 3, clock), clock, [0.0] * 6)

    assert [time - began for time in times] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_bucket_that_was_not_used_holds_no_more_than_a_burst(clock: TurnedClock) -> None:
    """A quiet night does not allow a flood in the morning."""
    rate = TokenBucket(2.0, 3, clock)
    begun(rate, clock, [0.0] * 3)
    clock.jump(36_000)
    started = clock.monotonic()

    assert [time - started for time in begun(rate, clock, [0.0] * 5)] == [0, 0, 0, 0.5, 1.0]


@pytest.mark.parametrize("per_second", [1 / 3, 3.0, 700.0, 3_000.0])
def test_rate_is_exact_over_long_runs(clock: TurnedClock, per_second: float) -> None:
    """Rounding does not add up: the last of a hundred thousand attempts begins when it should."""
    began = clock.monotonic()
    *_, last = begun(TokenBucket(per_second, 1, clock), clock, [0.0] * 100_001)

    assert last - began == pytest.approx(100_000 / per_second, abs=1e-6)


def test_waiting_takes_nothing(clock: TurnedClock) -> None:
    """Who asks and then goes away has not used up another's turn."""
    rate = TokenBucket(1.0, 1, clock)
    assert [rate.delay_s() for _ in range(4)] == [0.0, 1.0, 1.0, 1.0]
    clock.jump(1.0)

    assert rate.delay_s() == 0.0


def test_token_that_is_given_back_can_be_used_again(clock: TurnedClock) -> None:
    """An attempt that has not reached the target has not used its patience."""
    rate = TokenBucket(1.0, 2, clock)
    assert [rate.delay_s(), rate.delay_s()] == [0.0, 0.0]
    rate.give_back()

    assert [rate.delay_s(), rate.delay_s()] == [0.0, 1.0]


def test_giving_back_does_not_overfill_the_bucket(clock: TurnedClock) -> None:
    """Nothing that happens afterwards lets more than a burst through."""
    rate = TokenBucket(1.0, 2, clock)
    rate.delay_s()
    clock.jump(60.0)
    for _ in range(5):
        rate.give_back()

    assert [rate.delay_s() for _ in range(3)] == [0.0, 0.0, 1.0]
