"""Wait of a member for its share of a group's partitions."""

from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.events import SubscriberName
from streamer.log.kafka.feed.rebalance import ShareWait


async def told(wait: ShareWait, clock: TurnedClock, seconds: int) -> list[float]:
    """Return for how long the wait had lasted, at each line in the log during `seconds`."""
    with capture_logs() as lines:
        for _ in range(seconds):
            await clock.turn(1)
            wait.report()
    return [line["for_s"] for line in lines if line["event"] == "log.share_awaited"]


async def test_rebalance_that_does_not_end_is_told_twice_a_minute() -> None:
    """A group waits for every member, and a member can be out of reach."""
    clock = TurnedClock()
    wait = ShareWait(SubscriberName("shipment"), clock)
    wait.begin()

    assert await told(wait, clock, 95) == [30.0, 60.0, 90.0]


async def test_member_with_share_waits_for_nothing() -> None:
    """An empty share counts: there can be more members than partitions."""
    clock = TurnedClock()
    wait = ShareWait(SubscriberName("shipment"), clock)
    wait.begin()
    await clock.turn(10)
    wait.end()

    assert await told(wait, clock, 95) == []
