"""Buffer between a subscriber's thread and its loop."""

import asyncio
from dataclasses import replace

import pytest

from streamer.errors import LogUnavailable
from streamer.events import Entry, Partition, SettledOffsets
from streamer.log.kafka.feed.buffer import PAGE_ENTRIES, FeedBuffer, ReadRange
from streamer.ports import Assigned, Page, Revoked, Settlement
from tests.contracts.values import a_dead_letter, an_event
from tests.waiting import awaited

ONE = Partition(topic="salesforce.cdc.Account", number=0)
TWO = Partition(topic="salesforce.cdc.Account", number=1)


def assigned(*partitions: Partition) -> Assigned:
    """Return the assignment of partitions from their beginning."""
    return Assigned(assignment=1, progress=dict.fromkeys(partitions, SettledOffsets(next_offset=0)))


def read_range(partition: Partition, first: int, count: int, *, size: int = 1) -> dict[Partition, ReadRange]:
    """Return what was read: `count` entries from the offset `first` on, each of `size` bytes."""
    entries = [
        Entry(partition=partition, offset=offset, event=an_event(offset), size=size)
        for offset in range(first, first + count)
    ]
    return {partition: ReadRange(assignment=1, through=first + count, end=first + count, entries=entries)}


async def a_handover(*partitions: Partition) -> FeedBuffer:
    """Return a handover whose assignment the reader knows."""
    buffer = FeedBuffer()
    buffer.assign(assigned(*partitions))
    buffer.take()
    return buffer


def page(buffer: FeedBuffer) -> Page:
    """Return what comes next, which is a page."""
    taken = buffer.take()
    assert isinstance(taken, Page)
    return taken


async def test_a_page_is_bounded_and_the_rest_comes_next() -> None:
    """The rest counts as behind, and a page says how far it goes."""
    buffer = await a_handover(ONE)
    buffer.put(read_range(ONE, 0, PAGE_ENTRIES + 5))
    first, second = page(buffer), page(buffer)

    assert (len(first.entries), first.through, first.behind) == (PAGE_ENTRIES, {ONE: PAGE_ENTRIES}, 5)
    assert (len(second.entries), second.through, second.behind) == (5, {ONE: PAGE_ENTRIES + 5}, 0)
    assert buffer.take() is None


async def test_partitions_take_turns() -> None:
    """A partition with a backlog does not keep the others waiting."""
    buffer = await a_handover(ONE, TWO)
    buffer.put(read_range(ONE, 0, 2 * PAGE_ENTRIES))
    buffer.put(read_range(TWO, 0, 1))

    assert ONE in page(buffer).through
    assert TWO in page(buffer).through


async def test_offsets_without_entries_are_told() -> None:
    """Events that do not concern the subscriber are passed, so that they are settled."""
    buffer = await a_handover(ONE)
    buffer.put({ONE: ReadRange(assignment=1, through=7, end=9)})

    assert page(buffer) == Page(entries=[], through={ONE: 7}, behind=2)


@pytest.mark.parametrize(("count", "size"), [(1_000, 1), (2, 4 * 1024 * 1024)])
async def test_full_shelves_hold_everything_back_until_half_is_taken(count: int, size: int) -> None:
    """Entries are bounded, and so are their bytes."""
    buffer = await a_handover(ONE, TWO)
    assert buffer.wait_for_room(0)
    buffer.put(read_range(ONE, 0, count, size=size))
    assert not buffer.wait_for_room(0)

    while buffer.take():
        pass
    assert buffer.wait_for_room(0)
    # The consumer goes on fetching for its own queue.
    assert not buffer.held_back([])


async def test_what_the_reader_paused_stays_and_does_not_hold_up_the_others() -> None:
    """A pause keeps what lies ready for later."""
    buffer = await a_handover(ONE, TWO)
    buffer.put(read_range(ONE, 0, 2_000))
    buffer.pause(frozenset([ONE]))
    buffer.put(read_range(TWO, 0, 1))
    assert buffer.wait_for_room(0)
    assert page(buffer).through == {TWO: 1}
    assert buffer.take() is None

    buffer.resume(frozenset([ONE]))
    assert page(buffer).through == {ONE: PAGE_ENTRIES}


async def test_consumer_pauses_what_is_paused_only_when_too_much_of_it_lies_ready() -> None:
    """A pause of the loop's is mostly short, and what is fetched again comes late."""
    buffer = await a_handover(ONE, TWO)
    buffer.pause(frozenset([ONE]))
    buffer.put(read_range(ONE, 0, 999))
    assert not buffer.held_back([])

    buffer.put(read_range(ONE, 999, 1))
    assert buffer.held_back([]) == {ONE}
    assert buffer.wait_for_room(0)


async def test_consumer_pauses_for_as_long_as_the_loop_does() -> None:
    """Though what lay ready may be taken meanwhile, as after a short resumption."""
    buffer = await a_handover(ONE, TWO)
    buffer.pause(frozenset([ONE]))
    assert buffer.held_back([ONE]) == {ONE}

    buffer.resume(frozenset([ONE]))
    assert not buffer.held_back([ONE])


async def test_nothing_is_read_while_everything_is_paused() -> None:
    """Fetched entries stay with the consumer, and come at once when the loop continues."""
    buffer = await a_handover(ONE, TWO)
    buffer.pause(frozenset([ONE, TWO]))
    assert not buffer.wait_for_room(0)

    buffer.resume(frozenset([TWO]))
    assert buffer.wait_for_room(0)


async def test_what_was_read_under_a_former_assignment_is_left_out() -> None:
    """The reader hears late that a partition was lost and won again, and is read from another position."""
    buffer = await a_handover(ONE)
    buffer.revoke(frozenset([ONE]))
    buffer.assign(replace(assigned(ONE), assignment=2))
    buffer.put(read_range(ONE, 5, 1))
    buffer.take()
    buffer.take()

    assert buffer.take() is None


async def test_too_many_dead_letters_that_wait_for_a_record_stop_the_reading() -> None:
    """Each holds the bytes of its record."""
    buffer = await a_handover(ONE)
    letters = {number: a_dead_letter(str(number)) for number in range(500)}
    buffer.put({ONE: ReadRange(assignment=1, through=500, unreadable=letters)})
    assert not buffer.wait_for_room(0)
    assert buffer.take_unreadable(held=0) == {ONE: letters}
    assert not buffer.wait_for_room(0)

    buffer.take_unreadable(held=499)
    assert buffer.wait_for_room(0)


async def test_settlement_wakes_the_member_at_once() -> None:
    """Until it is recorded a crash repeats what it covers."""
    buffer = await a_handover(ONE)
    waiting = asyncio.create_task(asyncio.to_thread(buffer.wait_for_settlement, 60))
    await asyncio.sleep(0)
    asked = buffer.ask(Settlement(assignment=1, progress={}))
    await awaited(waiting)

    assert [each.done for each in buffer.pending_settlements()] == [asked]


async def test_what_was_read_of_a_lost_partition_is_dropped() -> None:
    """Its next owner reads it again."""
    buffer = await a_handover(ONE, TWO)
    buffer.put(read_range(ONE, 0, 3) | read_range(TWO, 0, 1))
    buffer.revoke(frozenset([ONE]))

    assert buffer.take() == Revoked(partitions=frozenset([ONE]))
    assert page(buffer).through == {TWO: 1}


async def test_loss_is_told_once_the_reader_asks_for_more() -> None:
    """Until then it may settle what it has finished."""
    buffer = await a_handover(ONE)
    buffer.revoke(frozenset([ONE]))
    told = [buffer.wait_until_processed(0)]
    for _ in range(2):
        buffer.take()
        told.append(buffer.wait_until_processed(0))

    assert told == [False, False, True]


async def test_pause_of_a_partition_that_is_gone_does_not_outlive_it() -> None:
    """The reader could not know, and never resumes what it does not hold."""
    buffer = await a_handover(ONE)
    buffer.revoke(frozenset([ONE]))
    buffer.pause(frozenset([ONE]))
    buffer.assign(assigned(ONE))
    buffer.put(read_range(ONE, 0, 1))
    buffer.take()
    buffer.take()

    assert page(buffer).through == {ONE: 1}


async def test_loss_is_told_before_the_trouble_that_it_came_of() -> None:
    """A reader that waits after trouble does not continue with partitions that it has lost."""
    buffer = await a_handover(ONE)
    buffer.revoke(frozenset([ONE]))
    buffer.fail(LogUnavailable("no broker answers"))

    assert buffer.take() == Revoked(partitions=frozenset([ONE]))
    with pytest.raises(LogUnavailable):
        buffer.take()


async def test_waiting_reader_is_woken_from_another_thread() -> None:
    """Nothing is polled."""
    buffer = await a_handover(ONE)
    buffer.take()
    waiting = asyncio.create_task(buffer.filled())
    await asyncio.to_thread(buffer.put, read_range(ONE, 0, 1))
    await waiting

    assert page(buffer).through == {ONE: 1}


async def test_trouble_is_told_once() -> None:
    """After it reading goes on."""
    buffer = await a_handover(ONE)
    buffer.put(read_range(ONE, 0, 1))
    buffer.fail(LogUnavailable("no broker answers"))
    with pytest.raises(LogUnavailable):
        buffer.take()

    assert page(buffer).through == {ONE: 1}


async def test_end_of_the_thread_is_told_to_everyone_for_good() -> None:
    """Nobody waits for a thread that is gone."""
    buffer = await a_handover(ONE)
    asked = buffer.ask(Settlement(assignment=1, progress={}))
    buffer.break_off(LogUnavailable("the feed was closed"))

    with pytest.raises(LogUnavailable):
        await asked
    for call in (buffer.take, buffer.take, lambda: buffer.ask(Settlement(assignment=1, progress={}))):
        with pytest.raises(LogUnavailable):
            call()


async def test_page_names_a_partition_with_lost_events_once() -> None:
    """It names the partition even if the partition has no entry."""
    buffer = await a_handover(ONE, TWO)
    buffer.expire(ONE)
    buffer.put(read_range(TWO, 0, 1))
    assert page(buffer).expired == {ONE}

    buffer.put(read_range(ONE, 0, 1))
    assert page(buffer).expired == frozenset()


async def test_revoked_partition_has_no_lost_events() -> None:
    """Its next owner finds the loss."""
    buffer = await a_handover(ONE)
    buffer.expire(ONE)
    buffer.revoke(frozenset({ONE}))
    buffer.assign(assigned(ONE))
    buffer.put(read_range(ONE, 0, 1))
    assert isinstance(buffer.take(), Revoked)
    assert isinstance(buffer.take(), Assigned)

    assert page(buffer).expired == frozenset()
