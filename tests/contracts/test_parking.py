"""What dispatch parks is kept, whatever the log, and moves with its partition."""

from dataclasses import replace

import pytest

from streamer.errors import Fenced
from streamer.ports import LaneChange
from tests.contracts.follower import following
from tests.contracts.parking import KEY, ONCE, TWICE, lane_of, park
from tests.contracts.values import CHANGES, a_receipt, an_append, an_event, append_to
from tests.contracts.worlds import Log, World


async def append(log: Log, *names: int | str, key: str = KEY) -> None:
    """Append events of one key with the ids `names`."""
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(*(an_event(name, key=key) for name in names)))


async def test_parked_events_stay_parked_through_a_restart(world: World) -> None:
    """With how often they were tried and when they are due; the log gives them out no other way."""
    async with world.open() as log:
        await append(log, 1, 2, 3)
        async with following(log) as follower:
            await follower.read_until("3")
            parked = follower.entries[:2]
            await park(follower, *parked)
    async with world.open() as log, following(log) as follower:
        await append(log, 4)
        assert await follower.read_until("4") == ["4"]

        assert follower.lanes == lane_of(*parked)
        recalled = await follower.recall(*parked)
        assert recalled == parked
        assert all(0 < entry.size < 10_000 for entry in recalled)


async def test_parked_events_can_be_had_as_soon_as_they_are_recorded(world: World) -> None:
    """In the order in which they are asked for; what is not parked is left out."""
    async with world.open() as log:
        await append(log, 1, 2, 3)
        async with following(log) as follower:
            await follower.read_until("3")
            first, second, third = follower.entries
            await park(follower, first, third)

            assert await follower.recall(third, second, first) == [third, first]


async def test_lane_grows_behind_and_shrinks_before(world: World) -> None:
    """What came of the head replaces what was known of it."""
    async with world.open() as log:
        await append(log, 1, 2)
        async with following(log) as follower:
            await follower.read_until("2")
            first, second = follower.entries
            await park(follower, first, second)
            await append(log, 3)
            await follower.read_until("3")
            third = follower.entries[2]
            change = LaneChange(
                partition=first.partition, lane=KEY, setback=TWICE, joined=[third], left=[first.offset]
            )
            await follower.settle(lanes=[change])
            assert await follower.recall(first, second, third) == [second, third]
        async with following(log) as follower:
            await append(log, 4)
            await follower.read_until("4")

            assert follower.lanes == lane_of(second, third, setback=TWICE)


async def test_change_that_is_recorded_twice_counts_once(world: World) -> None:
    """Whether a record took effect may be unknown, and then it is made again."""
    async with world.open() as log:
        await append(log, 1, 2)
        async with following(log) as follower:
            await follower.read_until("2")
            first, second = follower.entries
            for _ in range(2):
                await park(follower, first, second)
            for _ in range(2):
                left = LaneChange(partition=first.partition, lane=KEY, setback=TWICE, left=[first.offset])
                await follower.settle(lanes=[left])
            assert await follower.recall(first, second) == [second]
        async with following(log) as follower:
            await append(log, 3)
            await follower.read_until("3")

            assert follower.lanes == lane_of(second, setback=TWICE)


async def test_emptied_lane_is_forgotten(world: World) -> None:
    """Its key is as good as any other again."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            [entry] = follower.entries
            await park(follower, entry)
            gone = LaneChange(partition=entry.partition, lane=KEY, setback=None, left=[entry.offset])
            await follower.settle(lanes=[gone])
            assert not await follower.recall(entry)
        async with following(log) as follower:
            await append(log, 2)
            assert await follower.read_until("2") == ["2"]

            assert follower.lanes == []


async def test_many_lanes_are_restored_each_with_its_own_head(world: World) -> None:
    """None is lost, mixed up or reset."""
    keys = [f"001{n:015d}" for n in range(300)]
    async with world.open() as log:
        await append_to(log, an_append(*(an_event(f"{key}:{n}", key=key) for key in keys for n in range(2))))
        async with following(log) as follower:
            await follower.read_until(*(f"{key}:1" for key in keys))
            changes = [
                LaneChange(
                    partition=entry.partition,
                    lane=entry.event.key,
                    setback=replace(ONCE, attempts=number),
                    joined=[each for each in follower.entries if each.event.key == entry.event.key],
                )
                for number, entry in enumerate(follower.entries)
                if entry.event.id.endswith(":0")
            ]
            await follower.settle(lanes=changes)
    async with world.open() as log, following(log) as follower:
        await append(log, "last")
        await follower.read_until("last")

        restored = {each.lane: (each.offsets, each.setback) for each in follower.lanes}
        assert restored == {
            each.lane: (tuple(entry.offset for entry in each.joined), each.setback) for each in changes
        }


async def test_subscribers_park_apart_from_each_other(world: World) -> None:
    """One target's trouble is not another's."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log, name="bad") as bad:
            await bad.read_until("1")
            await park(bad, *bad.entries)
        async with following(log, name="good") as good:
            assert await good.read_until("1") == ["1"]

            assert good.lanes == []
            assert not await good.recall(*good.entries)


async def test_receipts_are_kept_with_the_progress_that_covers_them(world: World) -> None:
    """A finished delivery is on record, and does not come again."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle(receipts=[a_receipt("1")])
        async with following(log) as follower:
            await append(log, 2)

            assert await follower.read_until("2") == ["2"]
            assert list(await world.receipts()) == [a_receipt("1")]


@pytest.mark.parametrize("what", ["lanes", "receipts"])
async def test_former_owner_can_neither_park_nor_write_receipts(world: World, what: str) -> None:
    """What it says of a partition that it lost is refused as a whole."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            [entry] = follower.entries
            change = LaneChange(partition=entry.partition, lane=KEY, setback=ONCE, joined=[entry])
            stale = follower.stale()
            said = {
                "lanes": replace(stale, lanes=[change]),
                "receipts": replace(stale, receipts=[a_receipt("1")]),
            }
            with pytest.raises(Fenced):
                await follower.feed.settle(said[what])
        async with following(log) as follower:
            assert await follower.read_until("1") == ["1"]

            assert follower.lanes == []
    assert not await world.receipts()
