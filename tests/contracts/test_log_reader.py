"""Contract of `LogReader`: the guarantees that dispatch relies on."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamer.errors import Fenced
from streamer.events import Stage, Start
from streamer.ports import Recorded
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, a_dead_letter, an_append, an_event, append_to
from tests.contracts.worlds import Log, World
from tests.waiting import limited

ONE_KEY = "001000000000001AAA"


async def append_numbers(log: Log, *numbers: int) -> None:
    """Append events of one key with the ids `numbers`, at once."""
    # Append as any process does: another one may have written before.
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(*(an_event(n, key=ONE_KEY) for n in numbers), at=max(numbers)))


async def test_events_of_a_key_come_in_the_order_of_their_appends(world: World) -> None:
    """Order per key holds over many appends, keys and pages."""
    events = [an_event(n, key=f"{n % 7}") for n in range(1_200)]
    async with world.open() as log:
        for begin in range(0, 1_200, 300):
            await append_to(log, an_append(*events[begin : begin + 300]))
        async with following(log) as follower:
            await follower.read_until(*(event.id for event in events))

    by_key = defaultdict(list)
    for event in follower.events:
        by_key[event.key].append(int(event.id))
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert sum(map(len, by_key.values())) == 1_200


async def test_entries_say_what_they_take(world: World) -> None:
    """Readers can bound the memory that they hold."""
    async with world.open() as log:
        await append_to(log, an_append(an_event(1), an_event(2, data={"text": "x" * 50_000})))
        async with following(log) as follower:
            await follower.read_until("1", "2")

    sizes = {str(entry.event.id): entry.size for entry in follower.entries}
    assert 0 < sizes["1"] < 10_000
    assert 50_000 < sizes["2"] < 60_000


async def test_behind_counts_down_to_nothing(world: World) -> None:
    """A subscriber's lag is known while it catches up."""
    async with world.open() as log:
        await append_numbers(log, *range(1_200))
        async with following(log) as follower:
            await follower.read_until("0")
            assert len(follower.ids) < 1_200
            assert follower.behind > 0
            await follower.read_until("1199")
            # A log's own records behind the last event are passed a moment later.
            async with limited("the end of the log"):
                while follower.behind:
                    await follower.step()


async def test_waiting_reader_is_woken_by_an_append(world: World) -> None:
    """A waiting `read` returns the events of the append."""
    async with world.open() as log, following(log) as follower:
        reading = asyncio.ensure_future(follower.read_until("1"))
        await asyncio.sleep(0)
        await append_numbers(log, 1)

        assert await reading == ["1"]


async def test_latest_begins_with_what_comes_after(world: World) -> None:
    """A new subscriber is not flooded with the past, and loses nothing of a topic that appears later."""
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log, start=Start.LATEST) as follower:
            await append_numbers(log, 2)
            await append_to(log, an_append(an_event("new", what="salesforce.event.New__e"), at=3))

            assert sorted(await follower.read_until("2", "new")) == ["2", "new"]


async def test_start_is_decided_once(world: World) -> None:
    """A subscriber that was down gets the events since then, though it starts at the latest."""
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log, start=Start.LATEST):
            pass
        await append_numbers(log, 2)
    async with world.open() as log, following(log, start=Start.LATEST) as follower:
        await append_numbers(log, 3)

        assert await follower.read_until("3") == ["2", "3"]


async def test_start_at_a_moment_leaves_out_what_is_older(world: World) -> None:
    """A subscriber can begin at a time."""
    hours = [an_event(hour, key=ONE_KEY, time=f"2025-01-01T0{hour}:00:00.000Z") for hour in range(5)]
    two = datetime(2025, 1, 1, 2, tzinfo=UTC)
    async with world.open() as log:
        await append_to(log, an_append(*hours))
        async with following(log, start=two) as follower:
            assert await follower.read_until("4") == ["2", "3", "4"]


async def test_only_matching_types_come_and_the_others_are_passed(world: World) -> None:
    """Unwanted events are settled together with wanted ones."""
    wanted = an_event("won", what="salesforce.cdc.Opportunity.updated", key=ONE_KEY)
    others = [an_event(n, what="salesforce.cdc.Opportunity.created", key=ONE_KEY) for n in range(3)]
    async with world.open() as log:
        await append_to(log, an_append(wanted, *others))
        async with following(log, "salesforce.cdc.*.updated") as follower:
            await follower.read_past(4)
            await follower.settle()
        async with following(log, "*") as again:
            await append_to(
                log, an_append(an_event("next", what="salesforce.cdc.Opportunity.gap", key=ONE_KEY))
            )

            assert follower.ids == ["won"]
            assert await again.read_until("next") == ["next"]


async def test_restart_repeats_only_what_was_not_settled(world: World) -> None:
    """Progress is a contiguous prefix and the offsets settled above it."""
    async with world.open() as log:
        await append_numbers(log, 1, 2, 3, 4, 5)
        async with following(log) as follower:
            await follower.read_until("5")
            recorded = await follower.settle(but=["2", "4"])
            assert recorded == Recorded(partitions=frozenset(follower.assigned))
    async with world.open() as log, following(log) as follower:
        await append_numbers(log, 6)

        assert await follower.read_until("6") == ["2", "4", "6"]


async def test_unsettled_events_come_again(world: World) -> None:
    """Reading alone settles nothing."""
    async with world.open() as log:
        await append_numbers(log, 1, 2)
        async with following(log) as follower:
            await follower.read_until("2")
        async with following(log) as follower:
            assert await follower.read_until("2") == ["1", "2"]


async def test_progress_goes_on_after_a_restart(world: World) -> None:
    """Offsets settled above the prefix join it once the gap closes."""
    async with world.open() as log:
        await append_numbers(log, 1, 2, 3)
        for but in (["1"], []):
            async with following(log) as follower:
                await follower.read_past(3)
                await follower.settle(but=but)
        async with following(log) as follower:
            await append_numbers(log, 4)

            assert await follower.read_until("4") == ["4"]


async def test_progress_that_is_recorded_already_is_recorded_again(world: World) -> None:
    """A settlement without news is answered, so a caller can ask whether it still owns a partition."""
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            recorded = [await follower.settle() for _ in range(2)]

    assert recorded == [Recorded(partitions=frozenset(follower.assigned))] * 2


async def test_subscribers_do_not_touch_each_other(world: World) -> None:
    """Each subscriber has its own position."""
    async with world.open() as log:
        await append_numbers(log, 1, 2)
        async with following(log, name="fast") as fast, following(log, name="slow") as slow:
            await fast.read_until("2")
            await fast.settle()
            assert await slow.read_until("2") == ["1", "2"]
        async with following(log, name="slow") as slow:
            assert await slow.read_until("2") == ["1", "2"]


async def test_paused_partitions_stay_quiet_until_resumed(world: World) -> None:
    """Back-pressure holds events in the log."""
    async with world.open() as log, following(log) as follower, following(log, name="witness") as witness:
        await append_numbers(log, 1)
        await follower.read_until("1")
        paused = frozenset(follower.assigned)
        follower.feed.pause(paused)
        reading = asyncio.ensure_future(follower.read_until("2"))
        await append_numbers(log, 2)
        await witness.read_until("2")
        assert follower.ids == ["1"]
        follower.feed.resume(paused)

        assert await reading == ["1", "2"]


async def test_cancelled_read_loses_nothing(world: World) -> None:
    """A reader that stopped waiting, wherever it was, gets every event from the next call."""
    async with world.open() as log, following(log) as follower:
        await append_numbers(log, 0)
        await follower.read_until("0")
        for n in range(1, 10):
            reading = asyncio.ensure_future(follower.step())
            for _ in range(n % 3):
                await asyncio.sleep(0)
            await append_numbers(log, n)
            reading.cancel()
            await asyncio.wait([reading])

        assert await follower.read_until("9") == [str(n) for n in range(10)]


async def test_dead_letters_are_kept_with_the_progress_that_covers_them(world: World) -> None:
    """A dead letter is recorded, and its event is not read again."""
    letter = replace(a_dead_letter("target:1", stage=Stage.DISPATCH), event=an_event(1, key=ONE_KEY))
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle(letters=[letter])
        async with following(log) as follower:
            await append_numbers(log, 2)

            assert await follower.read_until("2") == ["2"]
            assert list(await world.dead_letters()) == [letter]


async def test_offsets_of_a_former_assignment_are_left_out(world: World) -> None:
    """A process that lost a partition can't move its progress."""
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            assert await follower.feed.settle(follower.stale()) == Recorded()
        async with following(log) as follower:
            assert await follower.read_until("1") == ["1"]


async def test_dead_letter_of_a_former_assignment_is_fenced(world: World) -> None:
    """A process that lost a partition can't set its events aside."""
    async with world.open() as log:
        await append_numbers(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            with pytest.raises(Fenced):
                await follower.feed.settle(replace(follower.stale(), set_aside=[a_dead_letter("x")]))

    assert not await world.dead_letters()
