"""The guard pauses a subscriber before all of its events become dead letters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.dispatch.admission.admission import FloodGuard, GuardLimits
from streamer.events import SubscriberName


@pytest.fixture
def guard() -> FloodGuard:
    """One with the limits that a subscriber has by default."""
    return a_guard()


def a_guard(limits: GuardLimits | None = None) -> FloodGuard:
    """Return one with nothing noted."""
    return FloodGuard(SubscriberName("erp"), limits or GuardLimits())


def told(guard: FloodGuard, outcomes: str) -> list[str]:
    """Note outcomes, `d` for delivered and `x` for set aside, and return what it said."""
    said = []
    for outcome in outcomes:
        if outcome == "d":
            guard.delivered()
        elif sentence := guard.set_aside():
            said.append(sentence)
    return said


def test_fifty_in_a_row_are_too_many(guard: FloodGuard) -> None:
    """After a deployment that broke everything, fifty letters are enough to see why."""
    assert told(guard, "d" * 1_000 + "x" * 49) == []

    (sentence,) = told(guard, "x")
    assert sentence.startswith(
        "50 events in a row became dead letters, so Streamer paused erp. No event is lost."
    )


def test_operator_is_told_how_to_go_on(guard: FloodGuard) -> None:
    """Nobody has to look for the command."""
    (sentence,) = told(guard, "x" * 50)

    assert "`streamer deadletters list`" in sentence
    assert sentence.endswith("`streamer subscribers resume erp`.")


def test_more_than_half_of_the_last_events_are_too_many(guard: FloodGuard) -> None:
    """One broken type among others never makes a long run."""
    assert told(guard, "xxd" * 33) == []

    (sentence,) = told(guard, "xx")
    assert sentence.startswith("67 of the last 100 events became dead letters")


def test_one_broken_event_in_three_is_no_flood(guard: FloodGuard) -> None:
    """Bad data are set aside, and the others go on."""
    assert told(guard, "ddx" * 1_000) == []


def test_it_says_so_once(guard: FloodGuard) -> None:
    """Attempts under way when the subscriber was paused add nothing."""
    assert len(told(guard, "x" * 500)) == 1


def test_resuming_begins_anew(guard: FloodGuard) -> None:
    """A flood that a person has seen does not count against the subscriber, but another one does."""
    told(guard, "x" * 120)
    guard.reset()
    assert told(guard, "x" * 49) == []

    assert len(told(guard, "x")) == 1


def test_minimum_above_the_window_can_be_asked_for() -> None:
    """It does not switch the guard off in silence."""
    guard = a_guard(GuardLimits(consecutive=1_000, window=5, minimum=20))

    assert told(guard, "x" * 19) == []
    assert len(told(guard, "x")) == 1


@given(st.text(alphabet="xxd", max_size=300))
def test_it_speaks_exactly_when_a_limit_is_exceeded(outcomes: str) -> None:
    """Neither sooner nor later, whatever the order."""
    limits = GuardLimits(consecutive=5, ratio=0.5, window=20, minimum=10)
    ends = (outcomes[:end] for end in range(1, len(outcomes) + 1))
    exceeded = any(
        end.endswith("xxxxx")
        or (end[-1] == "x" and len(end) >= 10 and end[-20:].count("x") > len(end[-20:]) / 2)
        for end in ends
    )

    assert len(told(a_guard(limits), outcomes)) == exceeded
