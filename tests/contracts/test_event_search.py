"""Contract of `EventHistory` for operators: finding, showing and following events."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamer.clock import SystemClock
from streamer.events import Event, EventId, Forwarded, JsonObject, Partition, SubscriberName
from streamer.log.search_chunks import LONGEST_CURSOR
from streamer.normalise.malformed import as_event_time
from streamer.ports import AppendedPage, EventHistory, EventSearch, FoundEvents, LoggedEvent
from tests.contracts.follower import following, forwarding
from tests.contracts.parking import KEY, ONCE
from tests.contracts.test_settled_events import lane
from tests.contracts.values import CHANGES, a_receipt, an_append, an_event, append_to
from tests.contracts.worlds import Log, World
from tests.waiting import limited, until

NOW = SystemClock().now()
ONE, OTHER = "001000000000001AAA", "001000000000002AAB"
CONTACT = "salesforce.cdc.Contact.created"
MANY = 2_400
SHIPMENT = SubscriberName("shipment")


def at(seconds: float) -> str:
    """Return a time so long ago as events have it."""
    return as_event_time(datetime.fromtimestamp(NOW - seconds, UTC))


async def filled(log: Log, *events: Event) -> None:
    """Append events in one go, in their order, and wait until readers can see the commit."""
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(*events))

    async def all_there() -> bool:
        return len((await log.history.find(EventSearch(limit=MANY))).events) >= len(events)

    await until(all_there)


def some_events() -> list[Event]:
    """Return events of two records of two entities, a minute apart."""
    return [
        an_event("1", key=ONE, time=at(400)),
        an_event("2", key=OTHER, time=at(340)),
        an_event("3", key=ONE, what=CONTACT, time=at(280)),
        an_event("4", key=ONE, what="salesforce.cdc.Account.deleted", time=at(220)),
        an_event("5", what="salesforce.event.Order__e", time=at(160)),
    ]


async def found(history: EventHistory, **asked: object) -> list[str]:
    """Return the ids of what a search finds."""
    answer = await history.find(EventSearch(**asked))  # type: ignore[arg-type] # as the tests write it
    return [each.event.id for each in answer.events]


async def pages(history: EventHistory, asked: JsonObject) -> AsyncIterator[FoundEvents]:
    """Yield the answers to a search until it is whole."""
    cursor = ""
    while True:
        answer = await history.find(EventSearch(**asked, cursor=cursor))
        yield answer
        if answer.is_whole:
            return
        cursor = answer.cursor
        assert 0 < len(cursor) <= LONGEST_CURSOR


async def test_events_are_found_by_each_field(world: World) -> None:
    """The newest first, in every partition."""
    async with world.open() as log:
        await filled(log, *some_events())
        history = log.history

        assert await found(history) == ["5", "4", "3", "2", "1"]
        assert await found(history, oldest_first=True) == ["1", "2", "3", "4", "5"]
        assert await found(history, record=ONE) == ["4", "3", "1"]
        assert await found(history, record=ONE[:15], every_partition=True) == ["4", "3", "1"]
        assert await found(history, types=("salesforce.cdc.Account.*", "*Order__e")) == ["5", "4", "2", "1"]
        assert await found(history, channel=CHANGES.path, limit=1) == ["5"]
        assert await found(history, channel="/data/Other") == []
        assert await found(history, event_id=EventId("3")) == ["3"]
        assert await found(history, event_id=EventId("none")) == []
        assert await found(history, since=NOW - 300, until=NOW - 200) == ["4", "3"]
        assert await found(history, record="'; --\x00\udc80") == []


async def test_event_is_found_by_its_own_id_alone(world: World) -> None:
    """Whichever key it has: a configured one, its record's, or its id."""
    async with world.open() as log:
        ids = ["5d9e:1:" + ONE, "6f0c1d2e-0000-4000-8000-000000000001", "of a key"]
        keys = [ONE, None, "order 7"]
        await filled(log, *(an_event(id_, key=key, time=at(60)) for id_, key in zip(ids, keys, strict=True)))

        for id_ in ids:
            assert await found(log.history, event_id=EventId(id_)) == [id_]


async def test_event_has_its_place_and_its_content(world: World) -> None:
    """And is read again at that place. One that only names the record in a field is another record's."""
    async with world.open() as log:
        event = an_event("1", key=ONE, time=at(60))
        other = an_event("2", key=OTHER, time=at(60), data={"entity": "Account", "fields": {"ParentId": ONE}})
        await filled(log, event, other)
        [logged] = (await log.history.find(EventSearch(record=ONE))).events
        entry = logged.entry

        assert logged.event == event
        assert logged.appended_at is None or NOW - 5 <= logged.appended_at <= NOW + 3_600
        assert await log.history.at(entry.partition, entry.offset) == logged
        assert await log.history.at(entry.partition, entry.offset + 1_000) is None
        assert await log.history.at(Partition(topic="no such topic", number=0), 0) is None


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_search_goes_on_where_it_ended(world: World, oldest_first: bool) -> None:  # noqa: FBT001 - pytest passes it
    """Each event comes once, though every answer is bounded in events and in positions searched."""
    async with world.open() as log:
        events = [an_event(f"{number:05}", time=at(MANY - number)) for number in range(MANY)]
        await filled(log, *events)
        asked = {"oldest_first": oldest_first, "limit": 1_000, "scan": 1_500}
        answers = [answer async for answer in pages(log.history, asked)]

    told = [each.event.id for answer in answers for each in answer.events]
    assert sorted(told) == [event.id for event in events]
    assert all(len(answer.events) <= 1_000 for answer in answers)
    assert len(answers) > 2
    first = answers[0].events[0].event.id
    assert first == events[0 if oldest_first else -1].id
    # The first answer has events, and says how far the search has come.
    complete = [each for each in answers[0].events if answers[0].reached is not None]
    assert complete


async def test_search_says_how_far_it_came(world: World) -> None:
    """So that nobody takes a part of the log for all of it."""
    async with world.open() as log:
        await filled(log, *(an_event(f"{number:05}", time=at(MANY - number)) for number in range(MANY)))
        answer = await log.history.find(EventSearch(record=ONE, every_partition=True, scan=500))

    assert (list(answer.events), answer.is_whole) == ([], False)
    assert 0 < answer.scanned < MANY
    assert answer.cursor
    # SQLite searches by the time of the append.
    assert answer.reached is not None
    assert NOW - MANY < answer.reached < NOW + 3_600


async def test_foreign_cursor_is_refused(world: World) -> None:
    """It is text from outside. An empty log has none, and is searched to its end at once."""
    async with world.open() as log:
        nothing = await log.history.find(EventSearch())
        assert (list(nothing.events), nothing.is_whole, nothing.cursor) == ([], True, "")
        await filled(log, *some_events())
        short = (await log.history.find(EventSearch(limit=1))).cursor
        for cursor in ("x", "é", "eJxLBAAAYgBi", short[:-8], "A" * 10_000):
            with pytest.raises(ValueError, match="cursor"):
                await log.history.find(EventSearch(cursor=cursor))
        with pytest.raises(ValueError, match="cursor"):
            await log.history.find(EventSearch(cursor=short, oldest_first=True))


async def test_forwarded_copies_are_found_apart(world: World) -> None:
    """With the receipts of those before, and at places of their own."""
    async with world.open() as log:
        await filled(log, an_event("1", key=ONE, time=at(60)))
        async with forwarding(log, "shipment") as follower:
            await follower.read_until("1")
            whole = replace(follower.entries[0].event, receipts={"invoice": {"outcome": "delivered"}})
            await follower.settle(forwarded=[Forwarded(to=SHIPMENT, event=whole, at=NOW)])

        async def copies() -> Sequence[LoggedEvent]:
            return (await log.history.find(EventSearch(forwarded_to=SHIPMENT))).events

        [copy] = await until(copies)

        assert await found(log.history) == ["1"]
        assert await found(log.history, forwarded_to=SubscriberName("other")) == []
        assert copy.event == whole
        assert (await log.history.at(copy.entry.partition, copy.entry.offset)) == copy


async def test_receipts_of_events_are_found(world: World) -> None:
    """Those of other events of their key are left out."""
    async with world.open() as log:
        receipts = [a_receipt("1"), a_receipt("2"), a_receipt("1")]
        key = receipts[0].event_key
        await filled(log, *(an_event(name, key=key, time=at(60)) for name in ("1", "2")))
        async with following(log) as follower:
            await follower.read_until("2")
            await follower.settle(receipts=receipts)
        event, other = (each.event for each in follower.entries)

        answer = await log.history.receipts([event], NOW - 60)
        assert (list(answer.receipts), answer.is_whole) == ([receipts[0], receipts[2]], True)
        assert list((await log.history.receipts([event, other], NOW - 60)).receipts) == receipts
        assert (await log.history.receipts([], NOW - 60)).receipts == []
        assert not (await log.history.receipts([event], NOW - 60, most=1)).is_whole
        assert list((await log.history.receipts([event], NOW + 3_600)).receipts) in (
            [],
            [receipts[0], receipts[2]],
        )


async def test_place_of_a_subscriber_is_what_it_has_recorded(world: World) -> None:
    """How far it came, and the lane in which it parks an event."""
    async with world.open() as log:
        await filled(log, *(an_event(name, key=KEY, time=at(60)) for name in ("1", "2", "3")))
        async with following(log) as follower:
            await follower.read_until("3")
            first, second, third = follower.entries
            await follower.settle(but=["3"], lanes=[lane(first, second)])

            place = await log.history.place(SubscriberName("target"), second.partition, second.offset)
            later = await log.history.place(SubscriberName("target"), third.partition, third.offset)
            nobody = await log.history.place(SubscriberName("nobody"), third.partition, third.offset)

    assert place.progress is not None
    assert (place.progress.covers(second.offset), place.progress.covers(third.offset)) == (True, False)
    assert place.lane is not None
    assert (place.lane.offsets, place.lane.setback) == ((first.offset, second.offset), ONCE)
    assert (later.lane, nobody.progress, nobody.lane) == (None, None, None)


@asynccontextmanager
async def tailing(history: EventHistory) -> AsyncIterator["asyncio.Queue[AppendedPage]"]:
    """Follow the appends inside the context."""
    arrived: asyncio.Queue[AppendedPage] = asyncio.Queue()

    async def follow() -> None:
        async with aclosing(history.appended()) as appended:
            async for page in appended:
                arrived.put_nowait(page)

    task = asyncio.create_task(follow())
    try:
        async with limited("the pages of a search"):
            assert (await arrived.get()).events == []
            yield arrived
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ids_of(arrived: "asyncio.Queue[AppendedPage]", count: int) -> list[str]:
    """Return the ids of the next events that arrive."""
    told: list[str] = []
    while len(told) < count:
        told += [each.event.id for each in (await arrived.get()).events]
    return told


async def test_new_events_are_followed(world: World) -> None:
    """Those that are appended from now on, also of new types; each of two readers gets all."""
    async with world.open() as log:
        await filled(log, an_event("before", time=at(60)))
        async with tailing(log.history) as one, tailing(log.history) as other:
            new = an_event("1", time=at(0)), an_event("2", what=CONTACT, time=at(0))
            await append_to(log, an_append(*new, at=2))

            assert sorted(await ids_of(one, 2)) == ["1", "2"]
            assert sorted(await ids_of(other, 2)) == ["1", "2"]
