"""One channel's feed: what it hands to its consumer."""

from typing import Any

import pytest

from streamer.events import Batch, Checkpoint, EventId, NewEventsAfter, ReplayId, Start
from streamer.salesforce.cometd.answer import ReplayPosition
from streamer.salesforce.cometd.feeds import ChannelFeed
from tests.messages import CHANGES, change

NOW = 1_735_700_000.0


async def handed_over(feed: ChannelFeed, *messages: dict[str, Any]) -> Batch:
    """Offer `messages`, and return what the consumer gets."""
    feed.offer(messages, (), NOW, more=False)
    return await feed.slot.next()


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


async def test_each_session_tells_that_nothing_but_time_marks_the_place() -> None:
    """One can be lost before anything came, and Salesforce be away for longer than it retains events."""
    quiet = Checkpoint(channel=CHANGES, replay_id=None, verified_at=NOW - 1)
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(quiet))
    told = []
    for _ in range(2):
        feed.ask()
        feed.accept(NOW)
        told += [(await handed_over(feed)).unmarked_since for _ in range(2)]
        feed.release()

    assert told == [NOW - 61, None] * 2


async def test_new_events_that_are_read_over_again_begin_at_a_time() -> None:
    """The first session was lost before it had brought anything."""
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(Start.LATEST))
    feed.ask()
    feed.accept(NOW)
    feed.release()
    feed.ask()
    feed.accept(NOW + 400_000)

    assert (await handed_over(feed)).unmarked_since == NOW - 60


async def test_position_of_the_other_transport_behind_a_quiet_answer_is_no_mark() -> None:
    """Its id is not known here, and no event is known by its own."""
    closed = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"\0\5"), verified_at=NOW)
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(closed))
    feed.ask()
    feed.accept(NOW)

    assert (await handed_over(feed)).unmarked_since == NOW - 60


async def test_position_with_an_id_or_an_event_is_a_mark() -> None:
    """Salesforce refuses the id, or the event does not come, where something is missing."""
    for known in (
        Checkpoint(channel=CHANGES, replay_id=ReplayId(b"5"), verified_at=NOW),
        Checkpoint(
            channel=CHANGES,
            replay_id=None,
            verified_at=NOW,
            open_replay_id=ReplayId(b"1"),
            appended=(EventId("t1-1:1:001A"),),
        ),
    ):
        feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(known))
        feed.ask()
        feed.accept(NOW)
        got = await handed_over(feed, change(1, "001A"), change(2, "001B"))
        assert got.unmarked_since is None


async def test_skipped_events_are_left_out_behind_the_last_id_before_them() -> None:
    """Events in the log do not come again, although a minute before the order counts as new."""
    skipped = NewEventsAfter(channel=CHANGES, replay_id=None, verified_at=NOW, skips_after=ReplayId(b"900"))
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(skipped))
    assert feed.ask() == -1
    feed.accept(NOW)
    feed.release()
    assert feed.ask() == 900
    feed.settle(Checkpoint(channel=CHANGES, replay_id=None, verified_at=NOW, skips_after=ReplayId(b"900")))
    assert feed.ask() == 900
    old, new = change(901, "001A"), change(902, "001B")
    new["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"] = int((NOW - 59) * 1000)
    got = await handed_over(feed, old, new)

    assert (list(got.messages), got.unmarked_since) == ([new], None)


def test_id_of_the_other_transport_before_skipped_events_marks_nothing() -> None:
    """Then all that is retained is read, and time decides."""
    skipped = Checkpoint(channel=CHANGES, replay_id=None, verified_at=NOW, skips_after=ReplayId(b"\0\5"))
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(skipped))

    assert feed.ask() == -2


@pytest.mark.parametrize("kind", [Checkpoint, NewEventsAfter], ids=["restarted", "session lost"])
async def test_log_events_of_the_minute_before_skipped_ones_do_not_come_again(kind: type[Checkpoint]) -> None:
    """Their replay ids are another transport's, so the last commit in the log tells where they end."""
    skipped = kind(
        channel=CHANGES,
        replay_id=None,
        verified_at=NOW,
        positioned_at=NOW - 9.998,
        skips_after=ReplayId(b"\0\5"),
    )
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(skipped))
    feed.ask()
    feed.accept(NOW)
    feed.release()
    assert feed.ask() == -2
    messages = [change(number, "001A") for number in (900, 901, 902)]
    for number, each in enumerate(messages):
        header = each["data"]["payload"]["ChangeEventHeader"]
        header["commitTimestamp"] = round((NOW - 10) * 1000) + number + 1
    got = await handed_over(feed, *messages)

    assert list(got.messages) == messages[2:]


async def test_batch_has_the_times_of_both_clocks() -> None:
    """Ours says when it was read, and Salesforce's which events can still come."""
    feed = ChannelFeed(channel=CHANGES, position=ReplayPosition.after(Start.LATEST))
    feed.ask()
    feed.accept(NOW)
    feed.offer((), (), NOW, more=False, org_time=NOW - 300)
    batch = await feed.slot.next()

    assert (batch.read_at, batch.org_time) == (NOW, NOW - 300)
