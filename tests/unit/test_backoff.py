"""Delays before a retry."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.backoff import Backoff, Delays, full_jitter


def test_waits_grow_by_two_up_to_the_limit() -> None:
    """Without jitter the ceilings themselves show."""
    delays = Delays(Backoff(first_s=1.0, limit_s=10.0))
    assert [delays.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_reset_begins_with_short_waits_again() -> None:
    """A success makes former failures forgotten."""
    delays = Delays(Backoff(first_s=1.0, limit_s=60.0, jitter=lambda least, most: (least + most) / 2))
    before = [delays.next_s() for _ in range(3)]
    delays.reset()
    assert [delays.next_s() for _ in range(3)] == before == [0.5, 1.0, 2.0]


@given(st.lists(st.floats(min_value=0, max_value=1, exclude_max=True), min_size=1, max_size=2_000))
def test_jitter_is_full_and_never_exceeds_the_limit(drawn: list[float]) -> None:
    """Any part of the ceiling may be waited, however many failures there were."""
    delays = Delays(Backoff(first_s=1.0, limit_s=60.0, jitter=full_jitter(iter(drawn).__next__)))
    waits = [delays.next_s() for _ in drawn]
    assert all(0 <= wait <= 60 for wait in waits)
    assert waits[0] == drawn[0]


def test_factor_says_how_fast_delays_grow() -> None:
    """A shared value stays as it is, whichever caller counts failures with it."""
    backoff = Backoff(first_s=0.5, limit_s=100.0, factor=10.0)
    assert [Delays(backoff).next_s(), backoff.delay_s(2), backoff.delay_s(4000)] == [0.5, 5.0, 100.0]
