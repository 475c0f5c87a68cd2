"""Holding a whole target back."""

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.admission.pause import PauseState


class SettableClock(TurnedClock):
    """A clock whose wall time somebody sets back."""

    def now(self) -> float:
        """Return a time long ago."""
        return 0.0


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


async def test_hold_ends_by_itself(clock: TurnedClock) -> None:
    """Nobody has to open the gate."""
    paused = PauseState(clock)
    paused.hold(30, "429")
    await clock.turn(29.5)
    assert (paused.is_open, paused.opens_in_s, paused.reason) == (False, 0.5, "429")
    await clock.turn(0.5)

    assert (paused.is_open, paused.opens_in_s, paused.reason) == (True, 0, "")


async def test_longest_of_several_holds_counts(clock: TurnedClock) -> None:
    """A short pause asked for later does not end a long one."""
    paused = PauseState(clock)
    paused.hold(30, "long")
    paused.hold(5, "short")
    await clock.turn(10)

    assert (paused.is_open, paused.reason) == (False, "long")


async def test_hold_may_grow_while_it_lasts(clock: TurnedClock) -> None:
    """The new end counts."""
    paused = PauseState(clock)
    paused.hold(5, "first")
    await clock.turn(4)
    paused.hold(5, "second")
    await clock.turn(4)
    assert (paused.opens_in_s, paused.reason) == (1, "second")


async def test_pause_of_nothing_is_still_a_pause(clock: TurnedClock) -> None:
    """A target that asks for zero seconds is not called in a loop."""
    paused = PauseState(clock)
    paused.hold(0, "now")

    assert not paused.is_open


async def test_paused_target_stays_so_until_it_is_resumed(clock: TurnedClock) -> None:
    """Neither time nor another hold opens it."""
    paused = PauseState(clock)
    paused.pause("by an operator")
    paused.hold(1, "429")
    await clock.turn(1e9)
    assert (paused.is_open, paused.opens_in_s, paused.reason) == (False, None, "paused: by an operator")
    paused.resume()

    assert paused.is_open


async def test_hold_does_not_care_for_the_wall_clock() -> None:
    """A machine whose time is set back does not hold its targets for years."""
    clock = SettableClock()
    paused = PauseState(clock)
    paused.hold(5, "429")
    await clock.turn(5)

    assert paused.is_open
