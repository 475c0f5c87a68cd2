"""Partitions come and go while deliveries are in flight."""

import asyncio
from dataclasses import dataclass, field

from streamer.events import Partition, Reject, Retry, SettledOffsets, SubscriberName
from streamer.log.memory import MemoryLog
from streamer.ports import Recorded, Settlement
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World

CONTACTS = Partition(topic="salesforce.cdc.Contact", number=0)


@dataclass(kw_only=True)
class Noting(MemoryLog):
    """A log that notes what it is asked to settle."""

    asked: list[Settlement] = field(default_factory=list)

    def settle(self, subscriber: SubscriberName, settlement: Settlement) -> Recorded:
        """Note it, and do as others do."""
        self.asked.append(settlement)
        return super().settle(subscriber, settlement)


async def test_log_is_asked_once_more_when_a_partition_is_to_go(world: World) -> None:
    """The next owner would repeat what the log could not take a moment ago."""
    world.log = log = Noting()
    world.target.closed = True
    await world.append(1)
    async with world.running():
        log.faults.down = True
        world.target.release()
        await world.quiet()
        log.faults.down = False
        before = len(log.asked)
        log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.quiet()

        assert [each.assignment for each in log.asked[before:]] == [1]


async def test_attempt_under_way_may_end_before_its_partition_goes(world: World) -> None:
    """Processes that come and go in good order make nobody repeat anything."""
    world.target.closed = True
    await world.append(1, 2)
    async with world.running():
        moving = asyncio.create_task(world.log.consumers.hand_over(TARGET, [ACCOUNTS], to=world.feed))
        await world.turn(1)
        assert not moving.done()
        world.target.release()
        await moving
        await world.quiet()

        assert world.target.began == ["1", "2"]
        assert world.progress == SettledOffsets(next_offset=2)


async def test_attempt_that_does_not_end_holds_up_no_other_partition(world: World) -> None:
    """Its partition goes without it, and what comes of it counts no more."""
    world.target.closed = True
    await world.append(1)
    async with world.running():
        moving = asyncio.create_task(world.log.consumers.hand_over(TARGET, [ACCOUNTS], to=None))
        await world.append("contact", entity="Contact")
        await world.turn(3)
        await moving
        assert world.target.began == ["1", "contact"]
        world.target.release()
        await world.quiet()

        assert world.log.settled[TARGET] == {
            ACCOUNTS: SettledOffsets(next_offset=0),
            CONTACTS: SettledOffsets(next_offset=1),
        }


async def test_completion_after_a_revocation_is_dropped(world: World) -> None:
    """The next owner repeats what was in flight, and decides."""
    world.target.closed = True
    await world.append(1, 2)
    async with world.running():
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.quiet()
        world.target.release()
        await world.quiet()
        assert world.target.delivered == ["1", "2"]
        assert world.progress == SettledOffsets(next_offset=0)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=world.feed)
        await world.quiet()

        assert world.target.delivered == ["1", "2", "1", "2"]
        assert world.progress == SettledOffsets(next_offset=2)


async def test_attempt_that_outlived_its_partition_leaves_no_receipt(world: World) -> None:
    """Not even when the partition has come back meanwhile: the attempt that repeats it leaves one."""
    world.receipts = world.target.any_order = True
    world.target.hang()
    await world.append(1)
    async with world.running():
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.turn(3)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=world.feed)
        await world.quiet()
        assert world.target.began == ["1", "1"]
        world.target.release()
        await world.quiet()

        assert world.target.delivered == ["1", "1"]
        assert [receipt.event_id for receipt in world.log.receipts] == ["1"]


async def test_rejection_after_a_revocation_sets_nothing_aside(world: World) -> None:
    """A partition's events are its owner's to give up."""
    world.target.answers["1"].append(Reject(reason="422"))
    world.target.closed = True
    await world.append(1)
    async with world.running():
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        world.target.release()
        await world.quiet()

        assert world.letters == []


async def test_retry_of_a_lost_partition_is_forgotten(world: World) -> None:
    """Its timer ends without an attempt."""
    world.target.answers["1"].append(Retry(reason="500"))
    await world.append(1)
    async with world.running():
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.turn(100)

        assert world.target.began == ["1"]


async def test_partition_that_is_kept_loses_no_dead_letter_to_one_that_is_lost(world: World) -> None:
    """Both stand in one settlement, which the log refuses as a whole."""
    world.target.answers["account"].append(Reject(reason="422"))
    world.target.closed = True
    await world.append("account")
    await world.append("contact", entity="Contact")
    async with world.running():
        world.target.release()
        while len(world.target.delivered) < 1 or world.target.open:
            await world.clock.sleep(0)
        # Before the log has answered, and before reading hears of it.
        world.log.consumers.reassign(TARGET, [CONTACTS], to=None)
        await world.turn(2)

        assert [letter.id for letter in world.letters] == ["account:target"]
        assert world.progress == SettledOffsets(next_offset=1)


async def test_partition_that_is_lost_while_reading_is_paused_comes_back_unpaused(world: World) -> None:
    """A pause belongs to the assignment that was known when it was made."""
    await world.append(1)
    async with world.running():
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        # Reading has not heard of the loss yet.
        world.feed.pause(frozenset([ACCOUNTS]))
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=world.feed)
        await world.append(2)
        await world.quiet()

        assert world.target.delivered == ["1", "2"]


async def test_partition_that_appears_later_is_delivered_too(world: World) -> None:
    """Kept partitions go on meanwhile, under their own assignment."""
    await world.append(1)
    async with world.running():
        await world.append("contact", entity="Contact")
        await world.append(2)
        await world.quiet()

    assert sorted(world.target.delivered) == ["1", "2", "contact"]
    assert world.log.settled[TARGET] == {
        ACCOUNTS: SettledOffsets(next_offset=2),
        CONTACTS: SettledOffsets(next_offset=1),
    }
