"""Pending records are merged without losing or inventing anything."""

from streamer.dispatch.partition_progress import Pending
from streamer.events import Entry, Partition, Setback
from streamer.ports import LaneChange
from tests.contracts.values import a_dead_letter, a_receipt, an_event

HERE = Partition(topic="here", number=0)


def entry(offset: int) -> Entry:
    """Return an event of one lane."""
    return Entry(partition=HERE, offset=offset, event=an_event(offset, key="k"))


def change(*joined: int, left: tuple[int, ...] = (), attempts: int | None = 1) -> LaneChange:
    """Return a change to one lane."""
    setback = (
        None
        if attempts is None
        else Setback(attempts=attempts, first_failed_at=1, due_at=2, first_error="", last_error="")
    )
    return LaneChange(partition=HERE, lane="k", setback=setback, joined=tuple(map(entry, joined)), left=left)


def merged(*changes: LaneChange) -> LaneChange:
    """Return what is recorded of several changes to one lane."""
    pending = Pending()
    for each in changes:
        pending.change(each)
    return pending.lanes["k"]


def test_changes_of_a_lane_become_one() -> None:
    """The latest word on its head counts."""
    found = merged(change(1, 2), change(3, left=(1,), attempts=2))

    assert found == change(2, 3, left=(1,), attempts=2)


def test_what_left_is_said_again() -> None:
    """The former record's effect can be unknown."""
    assert merged(change(left=(1,)), change(left=(2,))) == change(left=(1, 2))


def test_what_comes_back_has_not_left() -> None:
    """A dead letter that is redriven before it is recorded is parked, not lost."""
    assert merged(change(left=(1,), attempts=None), change(1)) == change(1)


def test_later_things_are_added_behind() -> None:
    """Dead letters, receipts and lanes."""
    pending, newer = Pending(receipts=[a_receipt("1")]), Pending(receipts=[a_receipt("2")])
    newer.letters.append(a_dead_letter("x"))
    newer.change(change(1))
    pending.add(newer)

    assert [each.event_id for each in pending.receipts] == ["1", "2"]
    assert (pending.letters, pending.lanes) == ([a_dead_letter("x")], {"k": change(1)})
    assert pending
    assert not Pending()


def test_letter_that_is_redriven_is_a_letter_no_more() -> None:
    """Also one that was refused again and redriven again before any of it was recorded."""
    pending, newer = Pending(), Pending()
    pending.redrive(["x"])
    pending.letters.append(a_dead_letter("x"))
    newer.redrive(["x"])
    newer.letters.append(a_dead_letter("y"))
    pending.add(newer)

    assert (pending.letters, pending.redriven) == ([a_dead_letter("y")], ["x", "x"])
