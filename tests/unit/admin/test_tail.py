"""The tail reads the log once for all clients; a slow client misses events and delays nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from streamer.admin.events.tail import MOST_CLIENTS, Tail, TailClient, Where, compiled_where
from streamer.admin.schemas import ApiError
from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable
from streamer.events import Entry, Event, Partition
from streamer.log.memory import MemoryHistory, MemoryLog
from streamer.ports import AppendedPage, LoggedEvent
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.admin.world import SETTINGS, Asking, World
from tests.waiting import awaited, turned

PLACE = Partition(topic="log", number=0)


def every(_event: Event) -> bool:
    """Admit every event."""
    return True


def logged(name: int | str, **about: Any) -> LoggedEvent:
    """Return an event in the log."""
    return LoggedEvent(entry=Entry(partition=PLACE, offset=1, event=an_event(name, **about)))


def read(lines: bytes) -> list[dict[str, Any]]:
    """Return the objects in lines."""
    return [orjson.loads(line) for line in lines.splitlines()]


async def taken(client: TailClient) -> list[dict[str, Any]]:
    """Return what a client gets next."""
    async with aclosing(client.lines()) as lines:
        return read(await anext(lines))


async def test_slow_client_misses_the_oldest_events() -> None:
    """And is told how many, before those that are left."""
    client = TailClient(every, TurnedClock())
    await client.offer([logged(number) for number in range(1_500)])
    told = await taken(client)

    assert told[0] == {"dropped": 500}
    assert told[1]["event"]["id"] == "500"


async def test_buffer_is_bounded_in_bytes() -> None:
    """Large events are dropped sooner."""
    client = TailClient(every, TurnedClock())
    await client.offer([logged(number, data={"text": "x" * 1_000_000}) for number in range(50)])

    assert client._bytes <= 4 * 1024 * 1024
    assert (await taken(client))[0]["dropped"] >= 46


async def test_expression_that_fails_is_told_and_costs_nothing_else() -> None:
    """The other events are shown."""
    admits = compiled_where("starts_with(data.fields.Name, 'a')", SETTINGS)
    client = TailClient(every, TurnedClock(), Where(admits, TurnedClock()))
    names = (("1", 5), ("2", "abc"), ("3", "xyz"))
    await client.offer([logged(name, data={"fields": {"Name": value}}) for name, value in names])
    failed, shown = await taken(client)

    assert failed["failed"] == 1
    assert "where fails on this event" in failed["error"]
    assert shown["event"]["id"] == "2"


@pytest.mark.parametrize("expression", ["nmae == 'x'", "data.[", "hmac_sha256(subject, 'key') == 'x'"])
def test_mistake_in_an_expression_is_named(expression: str) -> None:
    """Keys of hashes are unknown to it, so that nobody can try values on them."""
    with pytest.raises(ApiError, match="where: ") as refused:
        compiled_where(expression, SETTINGS)
    assert refused.value.status == 400


def test_expression_that_is_nested_too_deeply_is_refused() -> None:
    """The interpreter's own recursion is bounded."""
    with pytest.raises(ApiError, match="nested too deeply") as refused:
        compiled_where("!" * 900 + "id", SETTINGS)
    assert refused.value.status == 400


async def test_events_of_an_overdue_expression_are_told_as_failed() -> None:
    """The client sees that some are missing, and why."""
    clock = TurnedClock()

    def slowly(_event: Event) -> bool:
        clock._now += 1.0
        return True

    client = TailClient(every, clock, Where(slowly, clock))
    offering = asyncio.create_task(client.offer([logged(number) for number in range(10)]))
    await turned(clock, offering.done, step_s=1)
    failed, *shown = await taken(client)

    assert failed["failed"] + len(shown) == 10
    assert len(shown) in {1, 2}
    assert "narrow the tail" in failed["error"]


async def test_silent_log_has_signs_of_life() -> None:
    """By which a client knows that the daemon is there."""
    clock = TurnedClock()
    client = TailClient(every, clock)
    waiting = asyncio.create_task(taken(client))
    await clock.turn(5)

    assert await waiting == [{"alive": "2025-01-01T00:00:05.000000Z"}]


async def test_two_clients_share_a_reader() -> None:
    """Which ends with the last of them."""
    log, clock = MemoryLog(), TurnedClock()
    tail = Tail(log.history, clock)
    with tail.client(every) as one:
        with tail.client(lambda event: event.id == "2") as other:
            await clock.turn(1)
            assert [set(each) for each in await taken(one)] == [{"following"}]
            assert "following" in (await taken(other))[0]
            await append_to(log, an_append(an_event("1"), an_event("2")))
            await clock.turn(1)
            assert [each["event"]["id"] for each in await taken(one)] == ["1", "2"]
            assert [each["event"]["id"] for each in await taken(other)] == ["2"]
        assert [task.get_name() for task in asyncio.all_tasks()].count("tail") == 1
    await clock.turn(1)
    assert "tail" not in {task.get_name() for task in asyncio.all_tasks()}


class Faulty(MemoryHistory):
    """A history whose log is down at first, and far ahead then."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.tries = 0

    async def appended(self) -> AsyncGenerator[AppendedPage, None]:
        """Fail once, and then skip."""
        self.tries += 1
        if self.tries == 1:
            raise LogUnavailable("the brokers are away")
        yield AppendedPage(events=[])
        yield AppendedPage(events=[logged("9")], skipped=70)
        await asyncio.Event().wait()


async def test_trouble_and_gaps_are_told() -> None:
    """The tail continues as soon as the log can be read."""
    clock = TurnedClock()
    with Tail(Faulty(MemoryLog()), clock).client(every) as client:
        await clock.turn(3)
        told = await taken(client)

    assert "the brokers are away" in told[0]["trouble"]
    assert [set(each) for each in told] == [{"trouble"}, {"following"}, {"skipped"}, {"event"}]
    assert told[2] == {"skipped": 70}


async def test_clients_are_few() -> None:
    """Each costs the daemon some of its time."""
    tail = Tail(MemoryLog().history, TurnedClock())
    contexts = [tail.client(every) for _ in range(MOST_CLIENTS)]
    for each in contexts:
        each.__enter__()
    with pytest.raises(ApiError, match="close another client first"), tail.client(every):
        pass
    for each in contexts:
        each.__exit__(None, None, None)


async def test_tail_ends_with_the_log(world: World) -> None:
    """The stream is closed, so that a client connects again."""
    async with world.asking() as asking:
        response = await asking.client.get("/events/tail?type=salesforce.cdc.*&where=subject+%3D%3D+'k'")
        assert response.content_type == "application/x-ndjson"
        await turned(world.clock, lambda: bool(response.content.total_bytes))
        world.context.tail.close()
        lines = read(await awaited(response.content.read()))
    assert "following" in lines[0]


async def test_client_that_does_not_read_misses_events(world: World) -> None:
    """Its connection is full, and neither the log nor another client waits for it."""
    size, count = 20_000, 2_000
    async with world.asking() as asking:
        slow = await asking.client.get("/events/tail")
        await turned(world.clock, lambda: bool(slow.content.total_bytes))
        with world.context.tail.client(every) as quick:
            shown: list[dict[str, Any]] = []
            for begin in range(0, count, 100):
                data = {"text": "x" * size}
                events = [an_event(begin + number, data=data) for number in range(100)]
                await append_to(world.log, an_append(*events))
                await world.clock.turn(0.5)
                while quick._lines:
                    shown += await taken(quick)
        world.context.tail.close()
        lines = read(await awaited(slow.content.read()))

    told = [each["event"]["id"] for each in lines if "event" in each]
    assert sum(each.get("dropped", 0) for each in lines) == count - len(told) > 0
    assert told[-1] == str(count - 1)
    assert len([each for each in shown if "event" in each]) == count


async def test_mistakes_are_refused_before_the_stream(ask: Asking) -> None:
    """As JSON, with a sentence."""
    status, body = await ask.get("/events/tail?where=nmae")
    assert (status, body["error"].startswith("where: ")) == (400, True)
    status, body = await ask.get("/events/tail?colour=red")
    assert (status, "colour" in body["error"]) == (400, True)
