"""Events in the log are left out when Salesforce sends all that it retains."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Checkpoint, EventId, ReplayId, Unreadable
from streamer.salesforce.retained import LastEventMissing, RetainedMessages, place_after
from tests.messages import CHANGES, change

T0 = 1_735_689_600.0
"""Commit time of the change with replay id 0; each next one is a millisecond later."""


def checkpoint(*appended: str, at: float) -> Checkpoint:
    """Return a checkpoint after the events `appended`, read over CometD, verified at `at`."""
    return Checkpoint(
        channel=CHANGES,
        replay_id=ReplayId(b"900"),
        verified_at=at,
        appended=tuple(map(EventId, appended)),
        open_replay_id=ReplayId(b"901") if appended else None,
    )


def numbers(messages: Any) -> list[int]:
    """Return the replay ids."""
    return [message["data"]["event"]["replayId"] for message in messages]


def test_messages_after_the_last_event_are_new() -> None:
    """It is known by its id, whatever its replay id and however close in time the others are."""
    retained = RetainedMessages.after(checkpoint("t1-3:1:001A", at=T0))

    assert retained.new([change(1), change(2)]) == []
    assert numbers(retained.new([change(3), change(4)])) == [4]
    assert numbers(retained.new([change(1), change(5)])) == [1, 5]


def test_events_that_share_the_last_replay_id_are_new_unless_appended() -> None:
    """Split events are appended one by one."""
    retained = RetainedMessages.after(checkpoint("t1-3:1:001A", "t1-3:1:001B", at=T0))
    split = [change(3, "001A"), change(3, "001B"), change(3, "001C")]

    assert [each["data"]["payload"]["ChangeEventHeader"]["recordIds"] for each in retained.new(split)] == [
        ["001C"]
    ]


def test_last_events_of_two_transports_are_both_held() -> None:
    """The log keeps the ids of both, and a publisher's duplicate behind them is new."""
    retained = RetainedMessages.after(checkpoint("t1-3:1:001A", "t1-4:1:001A", at=T0))
    duplicate = change(5)
    duplicate["data"]["payload"]["ChangeEventHeader"]["transactionKey"] = "t1-4"

    assert numbers(retained.new([change(2), change(3), change(4), duplicate, change(6)])) == [5, 6]


def test_last_event_of_the_same_transport_is_known_by_its_replay_id() -> None:
    """One that could not be read has no other."""
    retained = RetainedMessages.after(checkpoint("a dead letter", at=T0), last=ReplayId(b"\x03"))
    pieces = [Unreadable(raw=b"", error="", replay_id=ReplayId(bytes([number]))) for number in (2, 3, 4)]

    assert retained.new(pieces) == pieces[2:]


def test_last_replay_id_of_which_all_is_held_marks_the_place() -> None:
    """Behind a quiet answer, no event is known by its id, and none of that replay id is new."""
    retained = RetainedMessages.after(checkpoint(at=T0 + 1), last=ReplayId(b"3"))
    messages = [change(2), change(3, "001A"), change(3, "001B"), change(4)]

    assert numbers(retained.new(messages)) == [4]


def test_without_a_last_event_time_decides() -> None:
    """After a quiet answer, clocks that differ by a minute lose nothing."""
    retained = RetainedMessages.after(checkpoint(at=T0 + CLOCKS_DIFFER_S + 0.003))

    assert numbers(retained.new([change(1), change(2), change(3), change(1)])) == [3, 1]


def test_last_event_that_is_purged_with_all_before_it_hides_nothing() -> None:
    """The first retained message is later, so nothing was left out."""
    retained = RetainedMessages.after(checkpoint("t1-3:1:001A", at=T0 - CLOCKS_DIFFER_S))

    assert numbers(retained.new([change(5), change(6)])) == [5, 6]


@pytest.mark.parametrize("ends_by_event", [True, False])
def test_last_event_that_does_not_come_makes_time_decide(*, ends_by_event: bool) -> None:
    """Events left out on the way to it must be read again."""
    retained = RetainedMessages.after(checkpoint("gone", at=T0))
    assert retained.new([change(1)]) == []
    late = change(round(1000 * (CLOCKS_DIFFER_S + 1)))

    with pytest.raises(LastEventMissing):
        retained.new([late]) if ends_by_event else retained.read_to_end()
    assert numbers(retained.by_time().new([change(1), change(2)])) == [1, 2]


def closed(*appended: str, at: float) -> Checkpoint:
    """Return a checkpoint after the events `appended` and a quiet answer at `at`, read over CometD."""
    return replace(checkpoint(*appended, at=at), open_replay_id=None)


@pytest.mark.parametrize("behind_s", [0.0, 300.0])
def test_last_event_marks_the_place_behind_a_quiet_answer_too(behind_s: float) -> None:
    """The events of the minute before it do not come again, even if our clock is minutes behind."""
    replay_id, retained = place_after(closed("t1-3:1:001A", at=T0 - behind_s), over_cometd=False)

    assert replay_id is None
    assert retained is not None
    assert numbers(retained.new([change(1), change(2), change(3), change(4)])) == [4]


@pytest.mark.parametrize("ends_by_event", [True, False])
def test_last_event_that_has_aged_behind_quiet_answers_is_no_lost_place(*, ends_by_event: bool) -> None:
    """Time decides, and tells whether something can be missing."""
    _, retained = place_after(closed("gone", at=T0), over_cometd=False)
    assert retained is not None
    assert retained.new([change(1)]) == []
    late = change(1000 * 901)
    with pytest.raises(LastEventMissing):
        retained.new([late]) if ends_by_event else retained.read_to_end()
    by_time = retained.by_time()

    assert numbers(by_time.new([change(1), change(2)])) == [1, 2]
    assert (by_time.told_lost(), by_time.told_unmarked()) == (False, T0 - CLOCKS_DIFFER_S)


def test_quiet_channel_whose_events_have_all_aged_has_lost_no_place() -> None:
    """Nothing is retained that the search could have left out."""
    _, retained = place_after(closed("gone", at=T0), over_cometd=False)
    assert retained is not None
    retained.read_to_end()

    assert (retained.told_lost(), retained.told_unmarked()) == (False, T0 - CLOCKS_DIFFER_S)


def test_each_way_through_begins_before_the_last_event() -> None:
    """A stream that is lost on the way is followed by another from the beginning."""
    retained = RetainedMessages.after(checkpoint("t1-3:1:001A", at=T0))
    retained.new([change(3)])

    assert numbers(retained.afresh().new([change(1), change(3), change(4)])) == [4]
