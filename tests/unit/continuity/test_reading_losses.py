"""Ways in which a reading could lose a change, or never end."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from streamer.events import HoleCause, Repair
from streamer.normalise.malformed import as_event_time
from streamer.ports import Deletions, RecordQuery
from tests.unit.continuity.test_readings import IDS, NOW, World, hole


def stamp(seconds: float) -> str:
    """Return a time, in seconds after the hole, as a record holds it."""
    return as_event_time(datetime.fromtimestamp(NOW + seconds, UTC))


async def test_deletion_early_in_the_overflowing_transaction_is_told() -> None:
    """It has the time of its save, up to ten minutes before the commit that the overflow names."""
    world = World()
    world.queries.recycle("Contact", IDS[3], SystemModstamp=stamp(-540))
    world.open(hole(HoleCause.OVERFLOW))
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == [IDS[3]]


async def test_reading_ends_once_the_org_tells_all_deletions_before_it() -> None:
    """The org reports the last minutes later, and the stream never reports what it has lost."""
    world = World()
    slow = _told_late(world, 90.0)
    world.open(hole(HoleCause.OVERFLOW))
    world.queries.recycle("Contact", IDS[3], SystemModstamp=stamp(0))
    ended = await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == [IDS[3]]
    assert ended.state is Repair.FULL
    assert slow


async def test_change_of_all_records_tells_deletions_too() -> None:
    """A replica would keep the records that went with it."""
    world = World()
    world.queries.recycle("Contact", IDS[3], SystemModstamp=stamp(-1))
    world.open(hole())
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == [IDS[3]]
    assert len(world.phones()) == 6


async def test_job_is_kept_until_its_last_page_is_in_the_log() -> None:
    """A process that dies before that would read all of it again."""
    world = World()
    world.open(hole())
    await world.until(lambda: len(world.log) == 7)
    rows, states = world.log[:6], world.states[:-1]
    world.log, world.states = rows, states
    world.restart()
    await world.finish()

    assert sorted(event.key for event in world.log) == IDS
    assert world.queries.requests.count("begin") == 1
    assert world.queries.jobs == {}


async def test_row_that_is_no_record_costs_only_itself() -> None:
    """The others are told, and the hole says that something is missing."""
    world = World()
    world.records.records["Contact"][IDS[2]]["LastModifiedDate"] = "soon"
    world.open(hole())
    ended = await world.finish()

    assert sorted(event.key for event in world.log) == [each for each in IDS if each != IDS[2]]
    assert ended.state is Repair.PARTIAL
    assert "LastModifiedDate" in ended.detail
    assert "soon" not in ended.detail


async def test_many_overflows_of_an_entity_are_read_once() -> None:
    """The changes since the first overflow include those that the others hide."""
    world = World()
    for number in range(50):
        world.open(hole(HoleCause.OVERFLOW, id=f"gap:{number}", until=NOW + number))
    world.open(hole(HoleCause.OVERFLOW, id="earlier", until=NOW - 3600))
    await world.until(lambda: world.log)
    world.open(hole(HoleCause.OVERFLOW, id="later", until=NOW + 60))
    await world.finish()

    last = {each.id: each for each in world.states}
    assert {each.state for each in last.values()} == {Repair.FULL}
    held = [last[each].detail.partition("; ")[2] for each in ("gap:0", "gap:49", "earlier", "later")]
    assert held == ["", "repaired together with gap:0", "", "repaired together with earlier"]
    assert world.queries.requests.count("begin") == 2


async def test_snapshot_of_an_operator_is_not_merged() -> None:
    """It was asked for."""
    world = World()
    progress = {"parts": [{"entity": "Contact"}]}
    for number in range(2):
        world.states.append(
            hole(HoleCause.SNAPSHOT, id=f"snapshot:{number}", state=Repair.OPEN, progress=progress)
        )
    world.restart()
    # Until the orders are known, each can be paused.
    world.readings.follow({})
    await world.finish()

    assert len(world.log) == 14


async def test_open_readings_are_bounded() -> None:
    """A hole beyond the most is recorded alone."""
    world = World()
    states = [
        world.readings.adopted(hole(HoleCause.OVERFLOW, id=f"gap:{number}")).state for number in range(10_050)
    ]

    assert (states[0], states[-1], states.count(Repair.OPEN)) == (Repair.OPEN, Repair.NONE, 10_000)


async def test_many_deletions_are_asked_for_from_where_they_were_told() -> None:
    """And not from the beginning for each page."""
    world = World()
    world.open(hole(HoleCause.OVERFLOW))
    starts: list[float] = []
    deleted = world.queries.deleted

    async def noted(entity: str, start: float, end: float, /) -> Deletions:
        starts.append(start)
        return await deleted(entity, start, end)

    world.queries.deleted = noted  # type: ignore[method-assign] # it is the same, and noted
    await world.until(lambda: world.log)
    for number, each in enumerate(IDS):
        world.queries.recycle("Contact", each, SystemModstamp=stamp((number - 7) * 60))
    await world.clock.turn(600)
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS
    assert starts == [NOW - 1_200, NOW - 360, NOW - 240, NOW - 120]


async def test_late_answer_is_waited_for_and_not_broken_off() -> None:
    """A request can renew the token; no other is made meanwhile, and what it brings is used."""
    world = World()
    world.open(hole(HoleCause.OVERFLOW))
    ended: list[str] = []
    begin = world.queries.begin

    async def late(query: RecordQuery, /, *, in_bulk: bool) -> str:
        await world.clock.sleep(30)
        ended.append(await begin(query, in_bulk=in_bulk))
        return ended[-1]

    world.queries.begin = late  # type: ignore[method-assign] # it is the same, and late
    stepping = asyncio.create_task(world.step())
    await world.clock.turn(19)
    assert not stepping.done()
    await world.clock.turn(2)
    assert await stepping >= 5.0
    asked = len(world.queries.requests)
    await world.clock.turn(5)
    assert await world.step() >= 5.0
    assert len(world.queries.requests) == asked
    await world.clock.turn(10)
    await world.step()

    assert ended == ["bulk:1"]
    assert world.states[-1].progress["job"] == "bulk:1"


async def test_job_that_is_begun_again_asks_for_the_fields_of_now() -> None:
    """It can have been refused for one that is gone."""
    world = World()
    world.open(hole(HoleCause.OVERFLOW))
    await world.until(lambda: world.queries.jobs)
    world.queries.jobs.clear()
    before = world.records.requests.count(("Contact", [], []))
    await world.until(lambda: world.queries.jobs)

    assert world.records.requests.count(("Contact", [], [])) == before + 1


def _told_late(world: World, late_s: float) -> list[float]:
    """Let the org report only deletions that are `late_s` old at least."""
    deleted, asked = world.queries.deleted, []

    async def late(entity: str, start: float, end: float, /) -> Deletions:
        asked.append(end)
        found = await deleted(entity, start, end)
        until = world.clock.now() - late_s
        return replace(
            found, deleted=[each for each in found.deleted if each.deleted_at < until], until=until
        )

    world.queries.deleted = late  # type: ignore[method-assign] # it is the same, and late
    return asked
