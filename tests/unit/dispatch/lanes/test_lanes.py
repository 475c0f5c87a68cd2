"""Queues by key."""

import asyncio

import pytest

from streamer.dispatch.lanes.lanes import Lane, Lanes, LaneState
from streamer.events import Entry, Partition
from tests.contracts.values import an_event

HERE = Partition(topic="here", number=0)
THERE = Partition(topic="there", number=0)


def entry(name: str, key: str, partition: Partition = HERE) -> Entry:
    """Return an event in the log."""
    return Entry(partition=partition, offset=0, event=an_event(name, key=key))


async def ready(lanes: Lanes) -> list[Lane]:
    """Return the lanes that may be tried now."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0):
                found.append(await lanes.take())
        except TimeoutError:
            return found


async def test_only_the_first_event_of_a_key_may_be_tried() -> None:
    """The second waits until the first is settled; another key does not."""
    lanes = Lanes()
    for name, key in (("1", "a"), ("2", "a"), ("3", "b")):
        lanes.put(entry(name, key))

    first, other = await ready(lanes)
    assert [first.head.event.id, other.head.event.id] == ["1", "3"]
    assert lanes.waiting == 3
    lanes.advance(first)
    assert [lane.head.event.id for lane in await ready(lanes)] == ["2"]


async def test_head_that_is_tried_again_keeps_its_place() -> None:
    """Later events of its key stay behind it."""
    lanes = Lanes()
    lanes.put(entry("1", "a"))
    (lane,) = await ready(lanes)
    lanes.put(entry("2", "a"))
    assert await ready(lanes) == []
    lanes.make_ready(lane)

    assert [each.head.event.id for each in await ready(lanes)] == ["1"]


async def test_next_event_starts_with_no_attempts() -> None:
    """Attempts belong to an event, not to its key."""
    lanes = Lanes()
    lanes.put(entry("1", "a"))
    lanes.put(entry("2", "a"))
    (lane,) = await ready(lanes)
    lane.retries.attempts, lane.retries.first_failed_at = 3, 1.0
    lanes.advance(lane)

    assert lane.retries.attempts == 0
    assert not lane.retries.first_failed_at


async def test_lane_that_ran_empty_makes_place_for_a_new_one() -> None:
    """Keys that are done with take no memory."""
    lanes = Lanes()
    lanes.put(entry("1", "a"))
    (lane,) = await ready(lanes)
    lanes.advance(lane)
    assert (lanes.waiting, lanes._lanes) == (0, {})
    lanes.put(entry("2", "a"))

    assert [each.head.event.id for each in await ready(lanes)] == ["2"]


async def test_partition_that_leaves_is_not_handed_out() -> None:
    """Neither ready nor returning lanes are handed out; an attempt under way keeps its event."""
    lanes = Lanes()
    lanes.put(entry("1", "a"))
    lanes.put(entry("2", "b"))
    lanes.put(entry("3", "a", THERE))
    waiting = await lanes.take()
    lanes.leave(frozenset({HERE}))
    lanes.make_ready(waiting)

    assert [lane.head.event.id for lane in await ready(lanes)] == ["3"]
    assert (waiting.state, waiting.head.event.id, lanes.waiting) == (LaneState.LEAVING, "1", 1)


@pytest.mark.parametrize("key", ["a", "b"])
async def test_same_key_in_two_partitions_is_two_lanes(key: str) -> None:
    """Each partition may go to another process at any time."""
    lanes = Lanes()
    lanes.put(entry("1", key))
    lanes.put(entry("2", key, THERE))

    assert len(await ready(lanes)) == 2


async def test_upcoming_events_are_those_of_ready_lanes_in_the_order_of_their_turns() -> None:
    """Many lanes that wait, or are being tried, leave a look-up no room for the events that come next."""
    lanes = Lanes()
    for number in range(300):
        lanes.put(entry(f"waits {number}", f"w{number}"))
        lanes.put(entry(f"later {number}", f"w{number}"))
    assert len(await ready(lanes)) == 300
    for number in range(3):
        lanes.put(entry(f"here {number}", f"h{number}"))
    lanes.put(entry("there", "t", THERE))
    upcoming = [event.id for event in lanes.upcoming()]

    assert upcoming[:4] == ["here 0", "there", "here 1", "here 2"]
    assert set(upcoming[4:]) == {f"later {number}" for number in range(300)}
    assert [lane.head.event.id for lane in await ready(lanes)] == upcoming[:4]
