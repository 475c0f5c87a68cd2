"""One channel's feed: what it hands to its consumer."""

from typing import Any

from streamer.events import Batch, Checkpoint, ReplayId, Start
from streamer.salesforce.cometd.feed import ChannelFeed
from streamer.salesforce.cometd.replay_position import ReplayPosition
from tests.messages import CHANGES, change

NOW = 1_735_700_000.0


async def handed_over(feed: ChannelFeed, *messages: dict[str, Any]) -> Batch:
    """Offer `messages`, and return what the consumer gets."""
    feed.offer(messages, (), NOW, more=False)
    return await feed.next()


async def test_event_with_an_earlier_time_than_the_last_one_is_no_history() -> None:
    """Times do not rise from event to event, and the log holds none of this session but what it was given."""
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(Start.EARLIEST))
    feed.ask()
    feed.accept(NOW)
    first, later = change(1, "001A"), change(2, "001B")
    later["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"] -= 3_600_000
    await handed_over(feed, first)
    # A single event leaves no complete replay id.
    feed.settle(
        Checkpoint(
            channel=CHANGES, replay_id=None, verified_at=1_735_689_600.001, open_replay_id=ReplayId(b"1")
        )
    )

    assert list((await handed_over(feed, later)).messages) == [later]
