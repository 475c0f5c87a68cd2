"""A client's expression runs on a thread, has a deadline, and ends with its client."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from streamer.admin.events.resource import EventResource
from streamer.admin.events.schemas import Tailing
from streamer.admin.events.tail import Where, compiled_where
from streamer.admin.schemas import ApiError
from streamer.clock import SystemClock, TurnedClock
from streamer.errors import BrokenRoute
from streamer.events import Event
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.admin.world import SETTINGS, World
from tests.waiting import LIMIT_S, turned

TEXT = "a b " * 32_500
BOMB = "length([" + ",".join(["split(data.fields.Name,' ')"] * 4) + "][].to_string(@)) > `0`"
# Several times what it takes here; without the budget it is five seconds an event.
MOST_CPU_S = 4.0
EVENTS = [an_event(number) for number in range(100)]


class HastyClock(TurnedClock):
    """A clock on which a second passes whenever it is read."""

    def monotonic(self) -> float:
        """Return the time, a second later."""
        self._now += 1.0
        return super().monotonic()


async def test_it_is_asked_off_the_loop() -> None:
    """The loop goes on meanwhile."""
    asked_in: list[int] = []

    def admits(_event: Event) -> bool:
        asked_in.append(threading.get_ident())
        return True

    assert await Where(admits, SystemClock()).ask(EVENTS[:3]) == [True] * 3
    assert threading.get_ident() not in asked_in


async def test_failure_is_the_answer_for_its_event() -> None:
    """The other events have theirs."""
    where = Where(compiled_where("starts_with(data.fields.Name, 'a')", SETTINGS), SystemClock())
    answers = await where.ask([an_event("1", data={"fields": {"Name": name}}) for name in (5, "abc", "xyz")])

    assert isinstance(answers[0], BrokenRoute)
    assert str(answers[0]).startswith("where fails on this event: ")
    assert answers[1:] == [True, False]


async def test_slow_expression_ends_with_the_deadline() -> None:
    """However many events there are; it waits as long as it works, so that others have their turn."""
    clock = TurnedClock()

    def slowly(_event: Event) -> bool:
        clock._now += 0.5
        return False

    asking = asyncio.create_task(Where(slowly, clock).ask(EVENTS))
    began = clock.monotonic()
    await turned(clock, asking.done, step_s=1)

    assert 1 <= len(asking.result()) <= 4
    assert clock.monotonic() - began >= 2 * 2.0


async def test_it_ends_with_the_client_that_asks() -> None:
    """The thread looks after each event whether the answer is still wanted."""
    asked: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def admits(event: Event) -> bool:
        asked.append(event.id)
        begun.set()
        go_on.wait(LIMIT_S)
        return True

    asking = asyncio.create_task(Where(admits, TurnedClock()).ask(EVENTS))
    await asyncio.to_thread(begun.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    # It waits for all threads.
    await asyncio.get_running_loop().shutdown_default_executor()

    assert len(asked) == 1


async def test_enough_is_enough() -> None:
    """A page of 50 rows does not look at all that was found."""
    asked: list[str] = []

    def admits(event: Event) -> bool:
        asked.append(event.id)
        return True

    answers = await Where(admits, SystemClock()).ask(EVENTS, enough=5)

    assert len(answers) == len(asked) == 5


async def test_bomb_fails_on_each_event_within_its_budget(world: World) -> None:
    """One GET held the loop for minutes by two events of an ordinary length."""
    await append_to(
        world.log, an_append(*(an_event(number, data={"fields": {"Name": TEXT}}) for number in range(2)))
    )
    with world.context.with_log(world.log):
        began = time.process_time()
        found = await EventResource(context=world.context).newest(Tailing(where=BOMB), 50)

    assert (found["failed"], found["events"]) == (2, [])
    assert time.process_time() - began < MOST_CPU_S


async def test_overdue_expression_is_refused(world: World) -> None:
    """An answer from a part of the events would look like one from all of them."""
    events = (an_event(number) for number in range(100))
    await append_to(world.log, an_append(*events))
    clock = HastyClock()
    resource = EventResource(context=replace(world.context, clock=clock))
    with resource.context.with_log(world.log):
        asking = asyncio.create_task(resource.newest(Tailing(where="subject != 'x'"), 500))
        await turned(clock, asking.done, step_s=1)

    with pytest.raises(ApiError, match="where: takes longer than 2 s") as refused:
        asking.result()
    assert refused.value.status == 400
