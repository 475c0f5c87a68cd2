"""How long we wait before trying again."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.salesforce.backoff import Backoff


def test_waits_grow_by_two_up_to_the_limit() -> None:
    """With the greatest jitter the ceilings themselves show."""
    backoff = Backoff(random=lambda: 1.0, first_s=1.0, limit_s=10.0)
    assert [backoff.next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_reset_begins_with_short_waits_again() -> None:
    """What went well makes former failures forgotten."""
    backoff = Backoff(random=lambda: 0.5, first_s=1.0, limit_s=60.0)
    before = [backoff.next_s() for _ in range(3)]
    backoff.reset()
    assert [backoff.next_s() for _ in range(3)] == before == [0.5, 1.0, 2.0]


@given(st.lists(st.floats(min_value=0, max_value=1, exclude_max=True), min_size=1, max_size=2_000))
def test_jitter_is_full_and_never_exceeds_the_limit(drawn: list[float]) -> None:
    """Any part of the ceiling may be waited, however many failures there were."""
    backoff = Backoff(random=iter(drawn).__next__, first_s=1.0, limit_s=60.0)
    waits = [backoff.next_s() for _ in drawn]
    assert all(0 <= wait <= 60 for wait in waits)
    assert waits[0] == drawn[0]
