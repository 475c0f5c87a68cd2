"""The state moves each lane between three places, and gives the ledger the changes to record."""

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.lanes.lanes import Lane
from streamer.dispatch.state import DispatchState, Limits
from streamer.events import Entry, FailedAttempt, FailureClass, Partition, SettledOffsets, SubscriberName
from streamer.ports import Assigned
from tests.contracts.values import an_event

HERE = Partition(topic="here", number=0)


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that stands still."""
    return TurnedClock()


@pytest.fixture
def state(clock: TurnedClock) -> DispatchState:
    """A state with one partition, and room for four events."""
    state = DispatchState(SubscriberName("target"), Limits(waiting=4, parked=2), clock)
    progress = {HERE: SettledOffsets(next_offset=0)}
    state.ledger.assign(Assigned(assignment=1, progress=progress, parked={}))
    return state


def queued(state: DispatchState, offset: int, key: str = "A") -> Lane:
    """Return the lane into which an event was queued."""
    entry = Entry(partition=HERE, offset=offset, event=an_event(str(offset), key=key), size=10)
    state.ledger.opened(entry)
    state.queue(entry)
    lane = state.lanes.lane_of(entry)
    assert lane is not None
    return lane


def settled(state: DispatchState) -> tuple[int, set[int]]:
    """Return the offsets that the next record commits."""
    progress = state.ledger._held[HERE].tracker.progress()
    return progress.next_offset, set(progress.settled_above)


def test_settled_head_gives_the_next_event_its_turn(state: DispatchState) -> None:
    """Its offset is settled, and the lane is ready again."""
    lane = queued(state, 0)
    queued(state, 1)
    assert state.lanes.take_at_once() is lane
    state.settle(lane)

    assert settled(state) == (1, set())
    assert state.lanes.take_at_once() is lane
    assert lane.head.offset == 1


def test_parked_lane_counts_as_settled_and_waits(state: DispatchState) -> None:
    """The log keeps its events, so their offsets are done; later events of the key are parked too."""
    lane = queued(state, 0)
    state.park(lane, 60.0)
    queued(state, 1)

    assert settled(state) == (2, set())
    assert (list(lane.parked), state.lanes.waiting, lane in state.delay_queue) == ([0, 1], 0, True)


def test_full_memory_pauses_all_partitions_until_it_is_half_empty(state: DispatchState) -> None:
    """Between the whole and a half it depends on where the number came from."""
    lanes = [queued(state, offset, key=str(offset)) for offset in range(4)]
    assert state.update_fullness()
    assert state.paused_partitions() == {HERE}
    for lane in lanes[:2]:
        state.lanes.advance(lane)
    assert state.update_fullness()
    state.lanes.advance(lanes[2])
    assert not state.update_fullness()
    assert state.paused_partitions() == set()


def test_partition_with_too_many_parked_events_is_paused(state: DispatchState) -> None:
    """Reading continues where fewer are parked."""
    for offset in range(2):
        state.park(queued(state, offset, key=str(offset)), 60.0)

    assert state.paused_partitions() == {HERE}


def test_leaving_partition_keeps_the_attempts_that_were_spent(state: DispatchState) -> None:
    """A failed lane is parked for the next owner; one being tried is returned instead."""
    failed, tried = queued(state, 0, key="A"), queued(state, 1, key="B")
    attempt = FailedAttempt(at=0.0, seconds=0.0, failure=FailureClass.OTHER, error="503")
    for lane in (failed, tried):
        lane.retries.failed(attempt, "503", state.lanes.texts)
    state.in_flight.begin(tried)

    assert state.begin_leaving(frozenset({HERE})) == [tried]
    assert (failed.is_parked, tried.is_parked, list(state.lanes)) == (True, False, [])
