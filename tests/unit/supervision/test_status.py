"""Reports of a daemon's parts, as others see them."""

import asyncio

import pytest

from streamer.clock import TurnedClock
from streamer.supervision.status import Status
from tests.unit.supervision.parts import SALES, Delivering


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


def test_daemon_without_its_subscribers_is_not_complete(status: Status) -> None:
    """Each must have its place in the log."""
    status.subscribers.started(SALES, Delivering(following=False))
    assert not status.is_complete
    status.subscribers.ended(SALES)
    assert not status.is_complete


@pytest.mark.parametrize("comes", [True, False])
async def test_followers_are_waited_for_within_reason(
    status: Status,
    clock: TurnedClock,
    comes: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """Until they are there, or the time is over."""
    delivering = Delivering(following=False)
    status.subscribers.started(SALES, delivering)
    waiting = asyncio.create_task(status.subscribers.followed(clock, within_s=10))
    await clock.turn(9)
    assert not waiting.done()
    delivering.following = comes
    await clock.turn(0.5 if comes else 2)

    assert waiting.done()
