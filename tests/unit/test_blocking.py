"""A plugin whose calls block delivers on threads, and its records stay in order."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import pytest

from streamer.blocking import ThreadedBatchSubscriber, ThreadedSubscriber, on_threads
from streamer.errors import ConfigurationError
from streamer.events import Delivered, Delivery, Outcome, Retry, SubscriberName
from streamer.ports import Batching
from streamer.testing import a_delivery, an_event
from tests.waiting import LIMIT_S, until

NAME = SubscriberName("target")


class Blocking:
    """Notes which calls run at once, and holds those of some events until they are let go."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.gates: dict[str, threading.Event] = defaultdict(threading.Event)
        self.held: set[str] = set()
        self.calls: list[str] = []
        self.threads: set[int] = set()
        self.is_open = False

    def __enter__(self) -> Self:
        """Note it."""
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        """Note it."""
        self.is_open = False

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Answer with the event's id, once it is let go."""
        self.calls.append(delivery.event.id)
        self.threads.add(threading.get_ident())
        if delivery.event.id in self.held:
            assert self.gates[delivery.event.id].wait(LIMIT_S)
        return Delivered(answer={"id": delivery.event.id})


def of(number: int, *, key: str = "k") -> Delivery:
    """Return the delivery of an event of `key`."""
    return a_delivery(an_event(number, subject=key))


async def timed_out(subscriber: ThreadedSubscriber, delivery: Delivery) -> None:
    """Give a delivery up once its call has begun."""
    attempt = asyncio.create_task(subscriber.deliver(delivery))
    await begun(subscriber, delivery)
    attempt.cancel()
    with suppress(asyncio.CancelledError):
        await attempt


async def begun(subscriber: ThreadedSubscriber, delivery: Delivery) -> None:
    """Wait until the call of a delivery has begun."""
    await until(lambda: delivery.event.id in subscriber._subscriber.calls)


@pytest.fixture
def plugin() -> Blocking:
    """A plugin that a user wrote with `requests`."""
    return Blocking()


@pytest.fixture
def subscriber(plugin: Blocking) -> ThreadedSubscriber:
    """The same, as dispatch calls it."""
    made = on_threads(plugin, name=NAME, threads=3)
    assert isinstance(made, ThreadedSubscriber)
    return made


async def test_calls_run_on_threads_and_are_at_most_as_many_as_allowed(
    plugin: Blocking, subscriber: ThreadedSubscriber
) -> None:
    """The loop turns on, and threads are used again."""
    async with subscriber:
        assert plugin.is_open
        outcomes = await asyncio.gather(*(subscriber.deliver(of(n, key=f"k{n}")) for n in range(50)))

    assert outcomes == [Delivered(answer={"id": of(n, key=f"k{n}").event.id}) for n in range(50)]
    assert 1 <= len(plugin.threads) <= 3
    assert threading.get_ident() not in plugin.threads
    assert not plugin.is_open


async def test_next_event_of_a_key_waits_for_a_call_that_exceeded_its_time(
    plugin: Blocking, subscriber: ThreadedSubscriber
) -> None:
    """Nothing can end that call, and a target must not be given two events of a record at once."""
    slow, after, other = of(1), of(2), of(3, key="other")
    plugin.held.add(slow.event.id)
    async with subscriber:
        await timed_out(subscriber, slow)
        waiting = asyncio.create_task(subscriber.deliver(after))
        await subscriber.deliver(other)
        assert plugin.calls == [slow.event.id, other.event.id]
        plugin.gates[slow.event.id].set()

        assert await waiting == Delivered(answer={"id": after.event.id})


async def test_late_outcome_counts_when_the_same_event_is_tried_again(
    plugin: Blocking, subscriber: ThreadedSubscriber
) -> None:
    """A late delivery is not repeated."""
    slow = of(1)
    plugin.held.add(slow.event.id)
    async with subscriber:
        for _ in range(3):
            await timed_out(subscriber, slow)
        plugin.gates[slow.event.id].set()

        assert await subscriber.deliver(slow) == Delivered(answer={"id": slow.event.id})
        assert plugin.calls == [slow.event.id]
        assert await subscriber.deliver(of(2)) == Delivered(answer={"id": of(2).event.id})


async def test_call_that_no_thread_was_free_for_is_never_made(
    plugin: Blocking, subscriber: ThreadedSubscriber
) -> None:
    """It was given up before it began."""
    held = [of(number, key=f"k{number}") for number in range(3)]
    plugin.held.update(each.event.id for each in held)
    async with subscriber:
        attempts = [asyncio.create_task(subscriber.deliver(each)) for each in held]
        await until(lambda: len(plugin.calls) == len(held))
        waiting = asyncio.create_task(subscriber.deliver(of(9, key="waiting")))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        for each in held:
            plugin.gates[each.event.id].set()
        await asyncio.gather(*attempts)

        await subscriber.deliver(of(10, key="waiting"))
    assert of(9).event.id not in plugin.calls


async def test_overdue_call_is_named_with_the_line_where_it_stands(
    plugin: Blocking, subscriber: ThreadedSubscriber, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the author of the plugin can find it."""
    slow = of(1)
    plugin.held.add(slow.event.id)
    async with subscriber:
        await timed_out(subscriber, slow)
        plugin.gates[slow.event.id].set()

    said = capsys.readouterr().out
    assert "plugin.overdue" in said
    assert "test_blocking.py:" in said
    assert " in deliver" in said


@pytest.mark.parametrize(
    "error", [ValueError("odd"), SystemExit(3), KeyboardInterrupt(), StopIteration(7), GeneratorExit()]
)
async def test_whatever_a_call_raises_is_raised_where_it_is_awaited(error: BaseException) -> None:
    """No thread dies of it, and no process."""

    class Raising:
        def deliver(self, delivery: Delivery, /) -> Outcome:
            if delivery.event.id == of(1).event.id:
                raise error
            return Delivered()

    subscriber = on_threads(Raising(), name=NAME, threads=1)
    async with subscriber:
        with pytest.raises((type(error), RuntimeError)):
            await subscriber.deliver(of(1))
        assert await subscriber.deliver(of(2)) == Delivered()


async def test_plain_function_may_return_what_an_asynchronous_one_gives() -> None:
    """It is awaited on the loop."""

    class Passing:
        async def _send(self) -> Outcome:
            await asyncio.sleep(0)
            return Retry(reason="503")

        def deliver(self, _: Delivery, /) -> Any:
            return self._send()

    async with on_threads(Passing(), name=NAME, threads=1) as subscriber:
        assert await subscriber.deliver(of(1)) == Retry(reason="503")


def test_asynchronous_plugin_stays_as_it_is() -> None:
    """It needs no threads."""

    class Asynchronous:
        async def deliver(self, _: Delivery, /) -> Outcome:
            return Delivered()

    plugin: Any = Asynchronous()
    assert on_threads(plugin, name=NAME, threads=1) is plugin


class BlockingBatch(Blocking):
    """Takes several events in one call."""

    batch_size = 10

    def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer each as alone."""
        return [self.deliver(each) for each in deliveries]


async def overdue(plugin: BlockingBatch, subscriber: ThreadedBatchSubscriber, *deliveries: Delivery) -> None:
    """Give a call up whose first event is held."""
    plugin.held.add(deliveries[0].event.id)
    attempt = asyncio.create_task(subscriber.deliver_many(deliveries))
    await begun(subscriber, deliveries[0])
    attempt.cancel()
    with suppress(asyncio.CancelledError):
        await attempt


def batching(plugin: BlockingBatch) -> ThreadedBatchSubscriber:
    """Return `plugin` as dispatch calls it."""
    made = on_threads(plugin, name=NAME, threads=3)
    assert isinstance(made, ThreadedBatchSubscriber)
    assert Batching.of(made) == Batching(size=10, wait_s=0.01)
    return made


def answers(*deliveries: Delivery) -> list[Outcome]:
    """Return the outcomes of deliveries that arrive."""
    return [Delivered(answer={"id": each.event.id}) for each in deliveries]


async def late_ended(subscriber: ThreadedBatchSubscriber) -> None:
    """Wait until all calls that exceeded their time have ended."""
    members = [each for of_key in subscriber._late_members.values() for each in of_key.values()]
    assert members
    await until(lambda: all(each.has_ended for each in members))


async def test_batch_is_delivered_in_one_call_on_a_thread() -> None:
    """With an outcome for each."""
    plugin, many = BlockingBatch(), [of(n, key=f"k{n}") for n in range(5)]
    async with batching(plugin) as subscriber:
        assert isinstance(subscriber, ThreadedBatchSubscriber)
        assert await subscriber.deliver_many(many) == answers(*many)

    assert len(plugin.threads) == 1
    assert threading.get_ident() not in plugin.threads


async def test_event_of_a_call_that_exceeded_its_time_holds_no_others_up() -> None:
    """Its key is left out of the next calls until that call has ended, and then its outcome counts."""
    plugin = BlockingBatch()
    first, second, other = of(1, key="a"), of(2, key="b"), of(3, key="c")
    async with batching(plugin) as subscriber:
        assert isinstance(subscriber, ThreadedBatchSubscriber)
        await overdue(plugin, subscriber, first, second)
        held, delivered = await subscriber.deliver_many([second, other])
        assert isinstance(held, Retry)
        assert [delivered] == answers(other)

        plugin.gates[first.event.id].set()
        await late_ended(subscriber)
        following = of(4, key="a")
        assert await subscriber.deliver_many([second, following]) == answers(second, following)

    assert plugin.calls == [each.event.id for each in (first, other, second, following)]
    assert not subscriber._late_members


async def test_outcome_of_a_call_that_ends_during_another_counts() -> None:
    """Its delivery is not repeated."""
    plugin = BlockingBatch()
    late, other = of(1, key="a"), of(2, key="b")
    async with batching(plugin) as subscriber:
        assert isinstance(subscriber, ThreadedBatchSubscriber)
        await overdue(plugin, subscriber, late)
        plugin.held.add(other.event.id)
        during = asyncio.create_task(subscriber.deliver_many([late, other]))
        await begun(subscriber, other)
        plugin.gates[late.event.id].set()
        await late_ended(subscriber)
        plugin.gates[other.event.id].set()
        assert isinstance((await during)[0], Retry)

        assert await subscriber.deliver_many([late]) == answers(late)
    assert plugin.calls == [late.event.id, other.event.id]


async def test_outcome_of_a_late_call_survives_a_wrong_number_of_outcomes() -> None:
    """All of that call are tried again, and the event that arrived late must not arrive twice."""

    class Short(BlockingBatch):
        def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
            outcomes = super().deliver_many(deliveries)
            return outcomes if self.held else []

    plugin = Short()
    late, other = of(1, key="a"), of(2, key="b")
    async with batching(plugin) as subscriber:
        assert isinstance(subscriber, ThreadedBatchSubscriber)
        await overdue(plugin, subscriber, late)
        plugin.gates[late.event.id].set()
        await late_ended(subscriber)
        plugin.held.clear()
        with pytest.raises(ValueError, match="0 outcomes for 1 deliveries"):
            await subscriber.deliver_many([late, other])

        assert await subscriber.deliver_many([late]) == answers(late)


async def test_two_events_of_a_key_in_a_late_call_keep_their_outcomes() -> None:
    """With `order: none` both are in one call, and each comes again by itself."""
    plugin = BlockingBatch()
    first, second = of(1, key="a"), of(2, key="a")
    async with batching(plugin) as subscriber:
        assert isinstance(subscriber, ThreadedBatchSubscriber)
        await overdue(plugin, subscriber, first, second)
        plugin.gates[first.event.id].set()
        await late_ended(subscriber)
        assert await subscriber.deliver_many([first]) == answers(first)
        assert await subscriber.deliver_many([second]) == answers(second)

    assert plugin.calls == [first.event.id, second.event.id]
    assert not subscriber._late_members


class HalfAsynchronous(Blocking):
    """Blocks in one method and not in the other."""

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer none."""
        return [Delivered() for _ in deliveries]


def test_plugin_of_which_only_one_method_blocks_is_refused() -> None:
    """Its call would hold the loop up."""
    with pytest.raises(ConfigurationError, match="both asynchronous or both blocking"):
        on_threads(HalfAsynchronous(), name=NAME, threads=1)


@pytest.mark.parametrize(
    ("size", "wait_s"), [(0, 0.01), (True, 0.01), ("5", 0.01), (10_001, 0.01), (5, -1), (5, 1.5), (5, None)]
)
def test_bounds_of_a_batch_that_cannot_be_are_refused(size: object, wait_s: object) -> None:
    """Before anything is delivered."""
    plugin: Any = BlockingBatch()
    plugin.batch_size, plugin.batch_wait_s = size, wait_s
    with pytest.raises(ConfigurationError, match="the plugin's batch_"):
        Batching.of(plugin)


def test_plugin_whose_batches_hold_one_event_is_given_one() -> None:
    """By `deliver`."""
    plugin: Any = BlockingBatch()
    plugin.batch_size = 1

    assert Batching.of(plugin) is None
    assert Batching.of(Blocking()) is None
