"""Standstills of the loop."""

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.state import Beat


class SleepyClock(TurnedClock):
    """The clock of a machine that can be suspended, or whose time can be set."""

    shifted_s = 0.0

    def now(self) -> float:
        """Return wall-clock time, which goes on while the machine is suspended."""
        return super().now() + self.shifted_s


@pytest.fixture
def clock() -> SleepyClock:
    """Time stands still."""
    return SleepyClock()


@pytest.fixture
def beat(clock: SleepyClock) -> Beat:
    """A standstill is more than three seconds."""
    return Beat(clock, 3.0)


def test_loop_that_turns_does_not_stand_still(clock: SleepyClock, beat: Beat) -> None:
    """However long it turns."""
    for _ in range(100):
        clock.jump(beat.interval_s)
        assert beat.standstill_s() == 0.0
        beat.strike()


def test_standstill_is_told_once(clock: SleepyClock, beat: Beat) -> None:
    """The first caller learns of it, with its length."""
    clock.jump(3.0)
    assert beat.standstill_s() == 0.0
    clock.jump(7.0)

    assert [beat.standstill_s(), beat.standstill_s()] == [10.0, 0.0]


def test_suspended_machine_shows_in_wall_time(clock: SleepyClock, beat: Beat) -> None:
    """The monotonic clock stood still with it."""
    clock.shifted_s = 60.0

    assert [beat.standstill_s(), beat.standstill_s()] == [60.0, 0.0]


def test_wall_time_that_is_set_back_hides_no_standstill(clock: SleepyClock, beat: Beat) -> None:
    """The monotonic clock counts as well."""
    clock.shifted_s = -3600.0
    assert beat.standstill_s() == 0.0
    clock.jump(4.0)

    assert beat.standstill_s() == 4.0
