"""Faults and rebalances that tests drive in the in-memory log."""

import asyncio

import pytest

from streamer.errors import LogUnavailable
from streamer.events import Start, SubscriberName
from streamer.log.memory import MemoryFaults, MemoryLog, partition_of
from streamer.ports import Assigned, Page, Recorded, Revoked, Subscription
from tests.contracts.follower import Follower
from tests.contracts.values import CHANGES, a_checkpoint, a_receipt, an_append, an_event, append_to
from tests.waiting import until

ACCOUNTS = partition_of("salesforce.cdc.Account.updated")
TARGET = Subscription(subscriber=SubscriberName("target"), patterns=("*",), start=Start.EARLIEST)


def test_kinds_of_change_share_the_partition_of_their_entity() -> None:
    """A created and an updated event of one record stay in order."""
    assert partition_of("salesforce.cdc.Account.created") == ACCOUNTS
    assert partition_of("salesforce.event.Order__e").topic == "salesforce.event.Order__e"


async def test_log_that_is_down_takes_nothing() -> None:
    """Appending fails and leaves no trace while the log is down."""
    log = MemoryLog(faults=MemoryFaults(down=True))
    with pytest.raises(LogUnavailable):
        await append_to(log, an_append(an_event(1)))

    assert log.events == []


async def test_lost_answer_leaves_the_append_in_effect() -> None:
    """The result is uncertain to the caller, and certain in the log."""
    log = MemoryLog(faults=MemoryFaults(fail_after_commit=True))
    with pytest.raises(LogUnavailable):
        await append_to(log, an_append(an_event(1)))

    assert await log.checkpoint(CHANGES) == a_checkpoint(1)
    assert [event.id for event in log.events] == ["1"]


async def test_receipt_is_found_though_the_answer_was_lost() -> None:
    """A second request would record it twice."""
    log = MemoryLog()
    await append_to(log, an_append(an_event(1)))
    async with log.follow(TARGET) as feed:
        follower = Follower(feed)
        await follower.read_until("1")
        log.faults.fail_after_commit = True

        assert await follower.settle(receipts=[a_receipt("1")]) == Recorded(partitions=frozenset([ACCOUNTS]))
    assert log.receipts == [a_receipt("1")]


async def test_partition_that_comes_back_has_a_new_assignment_and_its_progress() -> None:
    """Its owner reads again what was read before the move."""
    log = MemoryLog()
    await append_to(log, an_append(an_event(1), an_event(2)))
    async with log.follow(TARGET) as feed:
        follower = Follower(feed)
        await follower.read_until("2")
        await follower.settle(but=["2"])
        log.consumers.reassign(TARGET.subscriber, [ACCOUNTS], to=None)
        log.consumers.reassign(TARGET.subscriber, [ACCOUNTS], to=feed)

        revoked, assigned, page = [await feed.read() for _ in range(3)]

    assert revoked == Revoked(partitions=frozenset([ACCOUNTS]))
    assert isinstance(assigned, Assigned)
    assert assigned.assignment > 1
    assert isinstance(page, Page)
    assert [entry.event.id for entry in page.entries] == ["2"]


async def test_partition_that_moved_is_not_among_those_recorded() -> None:
    """This holds before and after the feed has learned of the move."""
    log = MemoryLog()
    await append_to(log, an_append(an_event(1), an_event(2, what="salesforce.cdc.Contact.updated")))
    async with log.follow(TARGET) as feed:
        follower = Follower(feed)
        await follower.read_until("1", "2")
        log.consumers.reassign(TARGET.subscriber, [ACCOUNTS], to=None)

        contacts = partition_of("salesforce.cdc.Contact.updated")
        assert await follower.settle() == Recorded(partitions=frozenset([contacts]))


async def test_partition_with_more_than_there_is_room_for_is_crowded() -> None:
    """It stays so until its open offsets are settled."""
    log = MemoryLog(faults=MemoryFaults(room=1))
    await append_to(log, an_append(an_event(1), an_event(2), an_event(3)))
    async with log.follow(TARGET) as feed:
        follower = Follower(feed)
        await follower.read_until("3")

        assert (await follower.settle(but=["1"])).crowded == {ACCOUNTS}
        assert (await follower.settle()).crowded == frozenset()


async def test_feed_that_closes_hands_its_partitions_over() -> None:
    """Two processes of one subscriber never hold one partition at once."""
    log = MemoryLog()
    await append_to(log, an_append(an_event(1)))
    async with log.follow(TARGET) as feed:
        first = Follower(feed)
        await first.read_until("1")
        async with log.follow(TARGET) as other:
            assert not other.holds
            log.consumers.reassign(TARGET.subscriber, [ACCOUNTS], to=other)
            assert await Follower(other).read_until("1") == ["1"]
        await first.step()
        await first.step()

        assert first.assigned == {ACCOUNTS: 2}


async def test_feed_that_opens_gets_no_partition_that_is_being_handed_over() -> None:
    """Its reader still settles what it has read of the partition."""
    log = MemoryLog()
    await append_to(log, an_append(an_event(1)))
    async with log.follow(TARGET) as feed:
        first = Follower(feed)
        await first.read_until("1")
        moving = asyncio.create_task(log.consumers.hand_over(TARGET.subscriber, [ACCOUNTS], to=None))
        await asyncio.sleep(0)
        async with log.follow(TARGET) as other:
            assert not other.holds
            assert (await first.settle()).partitions == {ACCOUNTS}
            reading = asyncio.create_task(first.step())
            await until(lambda: not first.assigned)
            await reading
            reading = asyncio.create_task(first.step())
            await moving
        reading.cancel()
        assert not feed.holds
