"""Holding a whole target back."""

import asyncio

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.gate import Gate


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
    gate = Gate(clock)
    gate.hold(30, "429")
    passing = asyncio.create_task(gate.passage())
    await clock.turn(29.9)
    assert (passing.done(), gate.reason) == (False, "429")
    await clock.turn(0.1)

    assert (passing.done(), gate.is_open, gate.reason) == (True, True, "")


async def test_longest_of_several_holds_counts(clock: TurnedClock) -> None:
    """A short pause asked for later does not end a long one."""
    gate = Gate(clock)
    gate.hold(30, "long")
    gate.hold(5, "short")
    await clock.turn(10)

    assert (gate.is_open, gate.reason) == (False, "long")


async def test_hold_that_grows_while_it_lasts_is_waited_for(clock: TurnedClock) -> None:
    """Who waits already waits for the new end too."""
    gate = Gate(clock)
    gate.hold(5, "first")
    passing = asyncio.create_task(gate.passage())
    await clock.turn(4)
    gate.hold(5, "second")
    await clock.turn(4)
    assert not passing.done()
    await clock.turn(1)

    assert passing.done()


async def test_pause_of_nothing_is_still_a_pause(clock: TurnedClock) -> None:
    """A target that asks for zero seconds is not called in a loop."""
    gate = Gate(clock)
    gate.hold(0, "now")

    assert not gate.is_open


async def test_disabled_target_stays_so(clock: TurnedClock) -> None:
    """Neither time nor another hold opens it."""
    gate = Gate(clock)
    gate.disable("410")
    gate.hold(1, "429")
    passing = asyncio.create_task(gate.passage())
    await clock.turn(1e9)
    assert (passing.done(), gate.reason) == (False, "410")

    passing.cancel()


async def test_hold_does_not_care_for_the_wall_clock() -> None:
    """A machine whose time is set back does not hold its targets for years."""
    clock = SettableClock()
    gate = Gate(clock)
    gate.hold(5, "429")
    await clock.turn(5)

    assert gate.is_open
