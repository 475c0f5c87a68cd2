"""What lies between a subscriber's thread and its loop."""

import asyncio

import pytest

from streamer.errors import LogUnavailable
from streamer.events import Entry, Partition, Progress
from streamer.log.kafka.feed.buffer import PAGE_ENTRIES, Handover
from streamer.log.kafka.feed.partition_buffer import Stretch
from streamer.ports import Assigned, Page, Revoked, Settlement
from tests.contracts.values import an_event

ONE = Partition(topic="salesforce.cdc.Account", number=0)
TWO = Partition(topic="salesforce.cdc.Account", number=1)


def assigned(*partitions: Partition) -> Assigned:
    """Return the assignment of partitions from their beginning."""
    return Assigned(assignment=1, progress=dict.fromkeys(partitions, Progress(next_offset=0)))


def stretch(partition: Partition, first: int, count: int, *, size: int = 1) -> dict[Partition, Stretch]:
    """Return what was read: `count` entries from the offset `first` on, each of `size` bytes."""
    entries = [
        Entry(partition=partition, offset=offset, event=an_event(offset), size=size)
        for offset in range(first, first + count)
    ]
    return {partition: Stretch(through=first + count, end=first + count, entries=entries)}


async def a_handover(*partitions: Partition) -> Handover:
    """Return a handover of which the reader knows the assignment."""
    handover = Handover()
    handover.assign(assigned(*partitions))
    handover.take()
    return handover


def page(handover: Handover) -> Page:
    """Return what comes next, which is a page."""
    taken = handover.take()
    assert isinstance(taken, Page)
    return taken


async def test_a_page_is_bounded_and_the_rest_comes_next() -> None:
    """What was left is behind, and a page says how far it goes."""
    handover = await a_handover(ONE)
    handover.put(stretch(ONE, 0, PAGE_ENTRIES + 5))
    first, second = page(handover), page(handover)

    assert (len(first.entries), first.through, first.behind) == (PAGE_ENTRIES, {ONE: PAGE_ENTRIES}, 5)
    assert (len(second.entries), second.through, second.behind) == (5, {ONE: PAGE_ENTRIES + 5}, 0)
    assert handover.take() is None


async def test_partitions_take_turns() -> None:
    """A partition with a backlog does not keep the others waiting."""
    handover = await a_handover(ONE, TWO)
    handover.put(stretch(ONE, 0, 2 * PAGE_ENTRIES))
    handover.put(stretch(TWO, 0, 1))

    assert ONE in page(handover).through
    assert TWO in page(handover).through


async def test_offsets_without_entries_are_told() -> None:
    """What does not concern the subscriber is passed, so that it is settled."""
    handover = await a_handover(ONE)
    handover.put({ONE: Stretch(through=7, end=9)})

    assert page(handover) == Page(entries=[], through={ONE: 7}, behind=2)


@pytest.mark.parametrize(("count", "size"), [(2_000, 1), (2, 4 * 1024 * 1024)])
async def test_full_shelves_hold_everything_back_until_half_is_taken(count: int, size: int) -> None:
    """Entries are bounded, and so are their bytes."""
    handover = await a_handover(ONE, TWO)
    handover.put(stretch(ONE, 0, count, size=size))
    assert handover.held_back([ONE, TWO]) == {ONE, TWO}

    while handover.take():
        pass
    assert not handover.held_back([ONE, TWO])


async def test_what_the_reader_paused_stays_and_does_not_hold_up_the_others() -> None:
    """A pause keeps what lies ready for later."""
    handover = await a_handover(ONE, TWO)
    handover.put(stretch(ONE, 0, 2_000))
    handover.pause(frozenset([ONE]))
    handover.put(stretch(TWO, 0, 1))
    assert handover.held_back([ONE, TWO]) == {ONE}
    assert page(handover).through == {TWO: 1}
    assert handover.take() is None

    handover.resume(frozenset([ONE]))
    assert page(handover).through == {ONE: PAGE_ENTRIES}


async def test_what_was_read_of_a_lost_partition_is_dropped() -> None:
    """Its next owner reads it again."""
    handover = await a_handover(ONE, TWO)
    handover.put(stretch(ONE, 0, 3) | stretch(TWO, 0, 1))
    handover.revoke(frozenset([ONE]))

    assert handover.take() == Revoked(partitions=frozenset([ONE]))
    assert page(handover).through == {TWO: 1}


async def test_loss_is_told_once_the_reader_asks_for_more() -> None:
    """Until then it may settle what it has finished."""
    handover = await a_handover(ONE)
    handover.revoke(frozenset([ONE]))
    told = [handover.wait_until_told(0)]
    for _ in range(2):
        handover.take()
        told.append(handover.wait_until_told(0))

    assert told == [False, False, True]


async def test_pause_of_a_partition_that_is_gone_does_not_outlive_it() -> None:
    """The reader could not know, and never resumes what it does not hold."""
    handover = await a_handover(ONE)
    handover.revoke(frozenset([ONE]))
    handover.pause(frozenset([ONE]))
    handover.assign(assigned(ONE))
    handover.put(stretch(ONE, 0, 1))
    handover.take()
    handover.take()

    assert page(handover).through == {ONE: 1}


async def test_loss_is_told_before_the_trouble_that_it_came_of() -> None:
    """A reader that waits after trouble goes on with nothing that is no longer its own."""
    handover = await a_handover(ONE)
    handover.revoke(frozenset([ONE]))
    handover.fail(LogUnavailable("no broker answers"))

    assert handover.take() == Revoked(partitions=frozenset([ONE]))
    with pytest.raises(LogUnavailable):
        handover.take()


async def test_waiting_reader_is_woken_from_another_thread() -> None:
    """Nothing is polled."""
    handover = await a_handover(ONE)
    handover.take()
    waiting = asyncio.create_task(handover.filled())
    await asyncio.to_thread(handover.put, stretch(ONE, 0, 1))
    await waiting

    assert page(handover).through == {ONE: 1}


async def test_trouble_is_told_once() -> None:
    """After it reading goes on."""
    handover = await a_handover(ONE)
    handover.put(stretch(ONE, 0, 1))
    handover.fail(LogUnavailable("no broker answers"))
    with pytest.raises(LogUnavailable):
        handover.take()

    assert page(handover).through == {ONE: 1}


async def test_end_of_the_thread_is_told_to_everyone_for_good() -> None:
    """Nobody waits for a thread that is gone."""
    handover = await a_handover(ONE)
    asked = handover.ask(Settlement(assignment=1, progress={}))
    handover.break_off(LogUnavailable("the feed was closed"))

    with pytest.raises(LogUnavailable):
        await asked
    for call in (handover.take, handover.take, lambda: handover.ask(Settlement(assignment=1, progress={}))):
        with pytest.raises(LogUnavailable):
            call()
