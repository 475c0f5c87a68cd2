"""Holding a whole target back: until an operator resumes it, or for as long as it asks."""

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.admission.admission import FloodGuard, GuardLimits, Holds, TargetHold
from streamer.events import SubscriberName


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
    hold = TargetHold(clock)
    hold.begin(30, "429")
    await clock.turn(29.5)
    assert (hold.is_over, hold.left_s, hold.reason) == (False, 0.5, "429")
    await clock.turn(0.5)

    assert (hold.is_over, hold.left_s, hold.reason) == (True, 0, "")


async def test_longest_of_several_holds_counts(clock: TurnedClock) -> None:
    """A short pause asked for later does not end a long one."""
    hold = TargetHold(clock)
    hold.begin(30, "long")
    hold.begin(5, "short")
    await clock.turn(10)

    assert (hold.is_over, hold.reason) == (False, "long")


async def test_hold_may_grow_while_it_lasts(clock: TurnedClock) -> None:
    """The new end counts."""
    hold = TargetHold(clock)
    hold.begin(5, "first")
    await clock.turn(4)
    hold.begin(5, "second")
    await clock.turn(4)

    assert (hold.left_s, hold.reason) == (1, "second")


async def test_hold_for_no_time_is_still_one(clock: TurnedClock) -> None:
    """A target that asks for zero seconds is not called in a loop."""
    hold = TargetHold(clock)
    hold.begin(0, "now")

    assert not hold.is_over


async def test_operator_can_end_it(clock: TurnedClock) -> None:
    """The target is tried at once."""
    hold = TargetHold(clock)
    hold.begin(30, "429")
    hold.end()

    assert (hold.is_over, hold.left_s, hold.reason) == (True, 0, "")


async def test_hold_does_not_care_for_the_wall_clock() -> None:
    """A machine whose time is set back does not hold its targets for years."""
    clock = SettableClock()
    hold = TargetHold(clock)
    hold.begin(5, "429")
    await clock.turn(5)

    assert hold.is_over


def test_pause_lasts_until_its_end() -> None:
    """The latest reason is shown."""
    name = SubscriberName("erp")
    holds = Holds(name, FloodGuard(name, GuardLimits()), TurnedClock())
    assert (holds.is_paused, holds.reason) == (False, "")
    holds.pause("by an operator")
    holds.pause("by the guard")
    assert (holds.is_paused, holds.reason) == (True, "paused: by the guard")
    holds.resume()

    assert (holds.is_paused, holds.reason) == (False, "")
