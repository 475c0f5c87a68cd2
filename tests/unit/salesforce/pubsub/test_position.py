"""The search for the log's last event continues where a stream ended."""

from collections.abc import Sequence
from typing import Any

import pytest

from streamer.eventbus import ReplayPreset
from streamer.events import Checkpoint, EventId, NewEventsAfter, ReplayId
from streamer.salesforce.pubsub.reader import Position
from tests.messages import CHANGES, change


def at(number: int, record_id: str = "001A") -> dict[str, Any]:
    """Return a change at the position of `number`."""
    message = change(number, record_id)
    message["data"]["event"]["replayId"] = bytes([0, number])
    return message


def after_cometd(*appended: str) -> Position:
    """Return the position after events that were read over CometD, on a stream that has begun."""
    position = Position.after(
        Checkpoint(
            channel=CHANGES,
            replay_id=ReplayId(b"900"),
            verified_at=1_735_689_600.0,
            appended=tuple(map(EventId, appended)),
            open_replay_id=ReplayId(b"901"),
        )
    )
    assert position.request(CHANGES.path, 100).replay_preset == ReplayPreset.EARLIEST
    return position


def records(messages: Sequence[Any]) -> list[tuple[bytes, str]]:
    """Return the positions and the records of messages."""
    data = [message["data"] for message in messages]
    return [
        (each["event"]["replayId"], each["payload"]["ChangeEventHeader"]["recordIds"][0]) for each in data
    ]


def test_stream_goes_on_behind_the_last_whole_position() -> None:
    """More split events can follow the one that was dropped last."""
    position = after_cometd("t1-9:1:001A")
    assert position.new([at(1), at(2)]) == []
    assert position.new([at(3)]) == []

    again = position.request(CHANGES.path, 100)

    assert (again.replay_preset, again.replay_id) == (ReplayPreset.CUSTOM, b"\0\2")


def test_split_events_that_a_lost_stream_tore_apart_are_all_read() -> None:
    """The first is in the log; the others came with no stream yet."""
    position = after_cometd("t1-3:1:001A")
    assert position.new([at(2), at(3, "001A")]) == []

    again = position.request(CHANGES.path, 100)
    new = position.new([at(3, "001A"), at(3, "001B"), at(3, "001C"), at(4)])

    assert again.replay_id == b"\0\2"
    assert records(new) == [(b"\0\3", "001B"), (b"\0\3", "001C"), (b"\0\4", "001A")]


def test_split_event_that_was_handed_on_does_not_close_its_position() -> None:
    """Its siblings must come with the next stream."""
    position = after_cometd("t1-3:1:001A")
    new = position.new([at(2), at(3, "001A"), at(3, "001B")])

    assert records(new) == [(b"\0\3", "001B")]
    assert position.replay_id == b"\0\2"


@pytest.mark.parametrize("in_one_answer", [True, False])
def test_new_event_closes_the_position_before_it(*, in_one_answer: bool) -> None:
    """So that a long way is gone once."""
    position = after_cometd("t1-3:1:001A")
    for messages in [[at(2), at(3), at(4)]] if in_one_answer else [[at(2), at(3)], [at(4)]]:
        position.new(messages)

    assert position.replay_id == b"\0\3"


def test_stream_tells_once_that_nothing_but_time_marks_the_place() -> None:
    """Also when the one before it ended before anything came."""
    position = Position.after(Checkpoint(channel=CHANGES, replay_id=None, verified_at=1_735_689_600.0))
    position.request(CHANGES.path, 100)
    position.request(CHANGES.path, 100)

    assert [position.told_unmarked() for _ in range(2)] == [1_735_689_540.0, None]


def test_position_behind_a_quiet_answer_of_the_other_transport_is_no_mark() -> None:
    """A last event is one, until it does not come."""
    assert after_cometd().told_unmarked() == 1_735_689_540.0
    assert after_cometd("t1-9:1:001A").told_unmarked() is None


def test_stream_behind_skipped_events_begins_at_the_last_id_before_them() -> None:
    """The first one asks for new events, and what the log holds never comes again."""
    before = ReplayId(b"\0\5")
    position = Position.after(
        NewEventsAfter(channel=CHANGES, replay_id=None, verified_at=1_735_689_600.0, skips_after=before)
    )
    first = position.request(CHANGES.path, 100)
    assert position.is_open_to_new
    position.subscribed(1_735_689_600.0)
    again = position.request(CHANGES.path, 100)

    assert first.replay_preset == ReplayPreset.LATEST
    assert (again.replay_preset, again.replay_id) == (ReplayPreset.CUSTOM, before)
    assert position.told_unmarked() is None


def test_log_events_of_the_minute_before_skipped_ones_do_not_come_again() -> None:
    """Their replay ids are CometD's, so the last commit in the log tells where they end."""
    at = 1_735_689_600.0
    known = NewEventsAfter(
        channel=CHANGES,
        replay_id=None,
        verified_at=at + 10,
        positioned_at=at + 0.002,
        skips_after=ReplayId(b"7"),
    )
    position = Position.after(known)
    position.request(CHANGES.path, 100)
    position.subscribed(at + 10)
    position.request(CHANGES.path, 100)

    assert position.new([change(1), change(2), change(3)]) == [change(3)]
