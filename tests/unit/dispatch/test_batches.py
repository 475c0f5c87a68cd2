"""Events of different lanes in one call: each keeps its order, its outcome and its attempts."""

import asyncio
from collections.abc import Sequence

import pytest

from streamer.clock import Clock
from streamer.dispatch.admission.admission import GuardLimits
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.loop import ATTEMPT_TASK
from streamer.dispatch.state import Limits
from streamer.events import Delivered, Delivery, Hold, Outcome, Reject, Retry, SettledOffsets, Skip
from streamer.observe.series import SubscriberMetrics
from streamer.ports import Batching
from tests.unit.dispatch.test_dispatcher import cancelling_itself, closing, exiting, timing_out
from tests.unit.dispatch.world import TARGET, ScriptedTarget, World

WAIT_S = 0.01
SLOW_S = 0.01


@pytest.fixture
def world() -> World:
    """A target that takes four events in a call, in two calls at once."""
    return World(batching=Batching(size=4, wait_s=WAIT_S), in_flight=8)


class Slow(ScriptedTarget):
    """Takes as long for a call as a network does."""

    def __init__(self, clock: Clock) -> None:
        """Take `SLOW_S` on `clock`."""
        super().__init__()
        self._clock = clock

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer in time."""
        await self._clock.sleep(SLOW_S)
        return await super().deliver_many(deliveries)


class Whole(ScriptedTarget):
    """Does with a whole call what `answers` says for its first event."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer for all by the first."""
        self.batches.append([each.event.id for each in deliveries])
        outcome = await self.deliver(deliveries[0])
        return outcome if isinstance(outcome, list) else [outcome] * len(deliveries)


def cancel_others() -> None:
    """Cancel all attempts but the one that calls this."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if task.get_name().startswith(ATTEMPT_TASK):
            task.cancel()


class CancelsOthers(ScriptedTarget):
    """Cancels the attempts that wait for its call."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Cancel, and deliver."""
        cancel_others()
        await asyncio.sleep(0)
        return await super().deliver_many(deliveries)


async def test_full_batches_go_out_at_once_and_never_hold_two_events_of_a_lane(world: World) -> None:
    """Order per key holds, whatever shares a call."""
    for key in "abcde":
        await world.append(*(f"{key}{n}" for n in range(4)), key=key)
    async with world.running():
        await world.turn(1)

    assert world.target.batches[0] == ["a0", "b0", "c0", "d0"]
    assert all(len({name[0] for name in batch}) == len(batch) <= 4 for batch in world.target.batches)
    for key in "abcde":
        assert [name for name in world.target.delivered if name[0] == key] == [f"{key}{n}" for n in range(4)]
    assert world.progress == SettledOffsets(next_offset=20)


async def test_batch_waits_briefly_for_others(world: World) -> None:
    """Events that come within the time join the batch, and a lone event does not wait longer."""
    async with world.running():
        await world.append("a")
        await world.turn(WAIT_S / 2)
        assert not world.target.batches
        await world.append("b")
        await world.turn(WAIT_S / 2)
        assert world.target.batches == [["a", "b"]]
        await world.append("c", "d", "e", "f")
        await world.quiet()

    assert world.target.batches[1:] == [["c", "d", "e", "f"]]


async def test_batch_goes_out_when_nothing_more_can_come(world: World) -> None:
    """With as many attempts as the target is given at once, a wait would win nothing."""
    world.in_flight = 3
    await world.append(*range(5))
    async with world.running():
        assert world.target.batches == [["0", "1", "2"]]
        await world.turn(WAIT_S)

    assert world.target.batches == [["0", "1", "2"], ["3", "4"]]


async def test_batch_waits_for_no_room_that_other_calls_take(world: World) -> None:
    """Attempts in another call come back only when that has ended."""
    world.in_flight = 6
    world.target.hang()
    await world.append(*range(8))
    async with world.running():
        assert [len(batch) for batch in world.target.batches] == [4, 2]
        world.target.release()
        await world.turn(WAIT_S)


async def test_batch_does_not_wait_while_reading_is_paused(world: World) -> None:
    """With the memory full of events of two keys, no third one can come."""
    world.limits = Limits(waiting=8)
    for key in "ab":
        await world.append(*(f"{key}{n}" for n in range(8)), key=key)
    async with world.running():
        assert world.target.batches[0] == ["a0", "b0"]
        await world.turn(1)

    assert len(world.target.delivered) == 16


async def test_batch_does_not_wait_for_more_lanes_than_there_are(world: World) -> None:
    """In order per partition, there is one for each partition."""
    world.order = Order.PARTITION
    await world.append(*range(3))
    async with world.running():
        assert world.target.batches == [["0"], ["1"], ["2"]]


async def test_stop_sends_what_is_being_filled(world: World) -> None:
    """A stop must not wait for others, because none come any more."""
    began = world.clock.now()

    async def note() -> Delivered:
        assert world.clock.now() == began
        return Delivered()

    world.target.answers["a"].append(note)
    async with world.running():
        await world.append("a")
        await world.quiet()
        assert not world.target.batches

    assert world.target.delivered == ["a"]


async def test_events_of_a_call_have_outcomes_of_their_own(world: World) -> None:
    """One that fails costs the others nothing."""
    world.receipts = True
    world.target.answers["bad"].append(Reject(reason="422"))
    world.target.answers["later"].append(Retry(reason="locked"))
    world.target.answers["none"].append(Skip(reason="not mine"))
    await world.append("good", "bad", "later", "none")
    async with world.running():
        assert world.target.delivered == ["good"]
        await world.turn(1 + WAIT_S)

    assert world.target.delivered == ["good", "later"]
    assert [letter.event.id for letter in world.letters if letter.event] == ["bad"]
    assert [(each.event_id, each.attempts) for each in world.log.receipts] == [("good", 1), ("later", 2)]


@pytest.mark.parametrize("answer", [exiting, closing, timing_out, cancelling_itself, ValueError("no")])
async def test_whatever_the_call_does_is_a_retry_for_all(world: World, answer: object) -> None:
    """An exception, its own cancellation, and the end of the process."""
    world.target = Whole()
    world.target.answers["a"].append(answer)  # type: ignore[arg-type] # one of those that the target takes
    await world.append("a", "b", "c", "d")
    async with world.running():
        assert not world.target.delivered
        await world.turn(1 + WAIT_S)

    assert world.target.batches == [["a", "b", "c", "d"]] * 2
    assert world.progress == SettledOffsets(next_offset=4)


@pytest.mark.parametrize("number", [0, 3, 5])
async def test_wrong_number_of_outcomes_is_a_retry_for_all(world: World, number: int) -> None:
    """Nobody can tell whose they are."""

    async def wrong() -> object:
        return [Delivered()] * number

    world.target = Whole()
    world.target.answers["a"].append(wrong)
    await world.append("a", "b", "c", "d")
    async with world.running() as dispatcher:
        failure = dispatcher.status.last_failure
        assert failure is not None
        assert "outcomes for 4 deliveries" in failure.error
        await world.turn(1 + WAIT_S)

    assert len(world.target.batches) == 2


async def test_call_without_an_answer_is_ended_and_tried_again(world: World) -> None:
    """The time-out belongs to the call, without the wait for others."""
    world.target.hang()
    await world.append("a", "b")
    async with world.running():
        await world.turn(30)
        assert len(world.target.batches) == 1
        await world.turn(WAIT_S)
        world.target.release()
        await world.turn(1 + WAIT_S)

    assert world.target.batches == [["a", "b"]] * 2
    assert world.target.delivered == ["a", "b"]


async def test_crash_ends_the_call_and_repeats_its_events(world: World) -> None:
    """The attempts that wait for a call end with it."""
    world.target.hang()
    await world.append("a", "b", "c", "d")
    await world.run_and_crash(30)
    assert world.target.batches == [["a", "b", "c", "d"]]
    assert not world.target.open
    world.target.release()
    async with world.running():
        pass

    assert sorted(world.target.delivered) == ["a", "b", "c", "d"]


async def test_lane_that_is_lost_while_its_batch_is_filled_is_not_sent(world: World) -> None:
    """Its next owner delivers the event."""
    async with world.running():
        await world.append("a")
        await world.quiet()
        feed, held = world.feed, world.feed.holds
        world.log.consumers.reassign(TARGET, held, to=None)
        await world.turn(WAIT_S)
        assert not world.target.batches
        world.log.consumers.reassign(TARGET, held, to=feed)
        await world.turn(WAIT_S)
        assert world.target.batches == [["a"]]


async def test_failing_call_counts_once_for_the_breaker_and_gives_all_attempts_back(world: World) -> None:
    """One lost connection does not count as an outage, however many events were on it; ten do."""
    world.breaker = BreakerLimits(minimum=3, open_s=4.0)
    world.target.down = True
    await world.append(*range(12))
    async with world.running() as dispatcher:
        await world.quiet()
        # Two calls went out before the third failed and opened the breaker.
        assert [len(batch) for batch in world.target.batches] == [4, 4, 4]
        assert dispatcher.status.is_down
        world.target.down = False
        await world.turn(10)

    # A probe is one event at a time.
    assert len(world.target.batches[3]) == 1
    assert set(world.target.attempts) == {1}
    assert len(world.target.delivered) == 12


async def test_pause_that_the_target_asks_for_spends_no_attempt(world: World) -> None:
    """Of none of the events."""
    world.target.answers["b"].append(Hold(reason="429", after_s=7.0))
    await world.append("a", "b", "c", "d", "e")
    async with world.running():
        await world.turn(6.9)
        assert sorted(world.target.delivered) == ["a", "c", "d", "e"]
        await world.turn(0.2)

    assert world.target.attempts == [1] * 6
    assert world.target.delivered[-1] == "b"


async def test_rate_counts_events(world: World) -> None:
    """A burst fills a batch; after it, a batch holds what the rate lets out in its time."""
    world.rate = (1000.0, 4)
    await world.append(*range(6))
    async with world.running():
        assert world.target.batches == [["0", "1", "2", "3"]]
        await world.turn(0.005)
        assert len(world.target.batches) == 1
        await world.turn(0.02)

    assert world.target.batches[1:] == [["4", "5"]]


async def test_batch_does_not_wait_for_a_rate_that_lets_nothing_out_in_its_time(world: World) -> None:
    """Nothing more can come."""
    world.rate = (1.0, 2)
    await world.append(*range(3))
    async with world.running():
        assert world.target.batches == [["0", "1"]]
        await world.turn(2)


async def test_guard_counts_the_events_of_a_call(world: World) -> None:
    """Each is a dead letter of its own."""
    world.guard = GuardLimits(consecutive=6, minimum=10_000)
    for number in range(24):
        world.target.answers[str(number)].append(Reject(reason="422"))
    await world.append(*range(24))
    async with world.running() as dispatcher:
        assert [by for by, _ in world.pauses] == ["guard"]
        assert dispatcher.status.hindrance
        # Those in flight when the sixth was set aside are counted, but not judged.
        assert len(world.letters) <= 6 + 8


async def test_quick_target_keeps_full_batches_in_flight(world: World) -> None:
    """A worker continues with the next lane, and batches stay full while there is a backlog."""
    await world.append(*range(90))
    async with world.running():
        await world.turn(WAIT_S)

    assert len(world.target.delivered) == 90
    assert [len(batch) for batch in world.target.batches[:22]] == [4] * 22


async def test_batches_reach_their_size_whatever_the_target_takes(world: World) -> None:
    """An overloaded target gets fewer calls at once, and never smaller ones."""
    concurrency = world.admission().concurrency
    assert concurrency.limit == 8
    for _ in range(20):
        for _ in range(4):
            concurrency.began()
        world.clock.jump(1)
        for _ in range(4):
            concurrency.overloaded(1)
        await asyncio.sleep(0)
    assert concurrency.limit == 4


async def test_metrics_tell_how_full_batches_are(world: World) -> None:
    """And each event of a batch is an attempt of its own."""
    await world.append(*range(6))
    async with world.running() as dispatcher:
        await world.turn(WAIT_S)
        observer = dispatcher.attempts.observer
    assert isinstance(observer, SubscriberMetrics)
    [family] = observer.batch_events.collect()
    values = {sample.name: sample.value for sample in family.samples if "bucket" not in sample.name}

    assert values["streamer_delivery_batch_events_count"] == 2
    assert values["streamer_delivery_batch_events_sum"] == 6
    assert observer.attempts.outcomes[Delivered]._value.get() == 6


async def test_batch_is_not_sent_while_its_partitions_can_be_lost(world: World) -> None:
    """The process can stand still while others are awaited: then the log must confirm the partitions."""
    world.session_s = 6.0
    async with world.running():
        await world.append("a")
        await world.quiet()
        world.log.faults.down = True
        world.clock.jump(10)
        await world.turn(1)
        assert not world.target.batches
        world.log.faults.down = False
        await world.turn(3)
        assert world.target.batches == [["a"]]


async def test_attempt_that_waits_for_a_call_does_not_end_before_it(world: World) -> None:
    """A plugin that cancels what it finds must not let an event be tried again while it is under way."""
    world.target = CancelsOthers()
    await world.append("a", "b", "c", "d")
    async with world.running():
        await world.turn(5)

    assert world.target.attempts == [1] * 4
    assert world.progress == SettledOffsets(next_offset=4)


async def test_batch_that_is_cancelled_while_it_waits_for_the_log_is_tried_again(world: World) -> None:
    """None of its events is lost, whether its attempt makes the call or waits for it."""
    world.session_s, world.in_flight = 6.0, 4
    async with world.running():
        await world.append("a", "b")
        await world.quiet()
        world.log.faults.down = True
        world.clock.jump(10)
        await world.turn(1)
        cancel_others()
        await world.turn(1)
        assert not world.target.batches
        world.log.faults.down = False
        await world.turn(3)
        await world.append("c", "d", "e", "f")
        await world.turn(WAIT_S)

    assert world.target.batches == [["a", "b"], ["c", "d", "e", "f"]]
    assert world.progress == SettledOffsets(next_offset=6)


async def test_wait_for_others_is_not_the_latency_of_the_target(world: World) -> None:
    """A quick target is not taken for overloaded, because lone events wait for others."""
    world.batching = Batching(size=4, wait_s=0.5)
    world.target = Slow(world.clock)
    await world.append(*range(40))
    async with world.running() as dispatcher:
        for _ in range(10):
            await world.turn(SLOW_S)
        limits = {dispatcher.status.limit}
        for number in range(40, 200):
            await world.append(number)
            await world.turn(0.5)
            await world.turn(SLOW_S)
            limits.add(dispatcher.status.limit)

    assert len(world.target.delivered) == 200
    assert limits == {8}
