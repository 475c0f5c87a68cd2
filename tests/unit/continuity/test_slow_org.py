"""A reading makes progress in spite of a slow org, a process that dies often, and a lost job."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from streamer.errors import RecordsRefused
from streamer.events import HoleCause, JsonObject, Repair, ReplayId
from streamer.ports import RecordPage, RecordQuery
from tests.unit.continuity.test_reading_losses import stamp
from tests.unit.continuity.test_readings import IDS, NOW, World, contact, hole, limits_of


class SlowWorld(World):
    """A world whose org needs `page_s` for a page of rows, and `records_s` for records by their ids."""

    page_s = 25.0
    records_s = 0.0

    def __post_init__(self) -> None:
        """Let the readers be slow."""
        super().__post_init__()
        self._page, self._read = self.queries.page, self.records.read
        self.queries.page = self._slow_page  # type: ignore[method-assign] # it is the same, and slow
        self.records.read = self._slow_read  # type: ignore[method-assign] # it is the same, and slow

    async def _slow_page(
        self, query: RecordQuery, job: str, /, after: str | None, *, most: int
    ) -> RecordPage:
        page = await self._page(query, job, after, most=most)
        await self.clock.sleep(self.page_s)
        return page

    async def _slow_read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> dict[str, JsonObject]:
        found = await self._read(entity, ids, fields)
        await self.clock.sleep(self.records_s)
        return found

    async def step(self) -> float:
        """Make one step, and wait as long as it asks for, or until it is woken."""
        woken = self.woken
        stepping = asyncio.create_task(super().step())
        while not stepping.done():
            await self.clock.turn(1.0)
        pause_s = await stepping
        while pause_s > 0 and self.woken == woken:
            await self.clock.turn(min(pause_s, 1.0))
            pause_s -= 1.0
        return 0.0


@pytest.mark.parametrize("bulk_from", [3, 100])
@pytest.mark.parametrize("page_s", [25.0, 100.0])
async def test_page_that_comes_late_is_used(bulk_from: int, page_s: float) -> None:
    """To ask again at the same size would bring no answer sooner."""
    world = SlowWorld(bulk_from=bulk_from)
    world.page_s = page_s
    world.open(hole())
    await world.until(lambda: len(world.log) == len(IDS))

    assert [event.key for event in world.log] == IDS
    assert world.queries.requests.count("page") == 4
    assert world.clock.now() - NOW < 4 * page_s + 30


async def test_overflow_that_comes_while_a_job_begins_is_read_by_itself() -> None:
    """The job has the records as they were before it."""
    world = SlowWorld()
    world.page_s = 0.0
    begin, late = world.queries.begin, "003AB00000000LATE1"

    async def slowly(query: RecordQuery, /, *, in_bulk: bool) -> str:
        job = await begin(query, in_bulk=in_bulk)
        if late not in world.records.records["Contact"]:
            await world.clock.sleep(5)
            at = world.clock.now()
            changed = contact(late, "1") | {"SystemModstamp": stamp(at - NOW)}
            world.records.records["Contact"][late] = changed
            world.open(hole(HoleCause.OVERFLOW, id="gap:8", until=at, recorded_at=at))
            await world.clock.sleep(5)
        return job

    world.queries.begin = slowly  # type: ignore[method-assign] # it is the same, and slow
    world.open(hole(HoleCause.OVERFLOW, until=NOW, recorded_at=NOW))
    await world.until(lambda: not world.readings.has_work, steps=200)

    assert late in {event.key for event in world.log}
    assert {each.id: each.state for each in world.states} == {"gap:7": Repair.FULL, "gap:8": Repair.FULL}


async def test_record_that_the_stream_tells_of_before_a_late_answer_is_read_again() -> None:
    """The row is older than the event that is in the log by then."""
    world = SlowWorld(bulk_from=100)
    world.open(hole())
    await world.until(lambda: "page" in world.queries.requests)
    assert not world.log
    world.tell(IDS[0], "2")
    world.tell(IDS[1], None)
    await world.until(lambda: len({event.key for event in world.log}) == len(IDS))

    org = {each: record["Phone"] for each, record in world.records.records["Contact"].items()}
    assert world.phones() == org
    assert org[IDS[0]] == "2"
    assert max(Counter(event.id for event in world.log).values()) == 1


async def test_record_that_changes_while_it_is_read_again_is_read_once_more() -> None:
    """That can be slow too."""
    world = SlowWorld(bulk_from=100)
    world.records_s = 30.0
    world.open(hole())
    await world.until(lambda: "page" in world.queries.requests)
    world.tell(IDS[0], "2")
    asked = len(world.records.requests)
    await world.until(lambda: len(world.records.requests) > asked)
    world.tell(IDS[0], "3")
    await world.until(lambda: len({event.key for event in world.log}) == len(IDS))

    assert world.phones()[IDS[0]] == "3"


async def test_late_events_are_at_the_position_at_which_they_are_appended() -> None:
    """The last event of the log marks the place from which reading goes on."""
    world = SlowWorld(bulk_from=100)
    world.open(hole())
    await world.until(lambda: "page" in world.queries.requests)
    await world.clock.turn(30)
    repaired = await world.readings.step(ReplayId(b"9"))

    assert {event.replay_id for event in repaired.events} == {ReplayId(b"9")}


async def test_late_refusal_ends_the_reading() -> None:
    """It is asked for once."""
    world = SlowWorld()

    async def refused(_query: RecordQuery, /) -> int:
        await world.clock.sleep(30)
        raise RecordsRefused("no right to see it", code="INSUFFICIENT_ACCESS")

    world.queries.count = refused  # type: ignore[method-assign] # it is the same, and late
    world.open(hole())
    ended = await world.finish()

    assert (ended.state, ended.detail) == (Repair.NONE, "all of Contact; no right to see it")
    assert world.clock.now() - NOW < 60


@pytest.mark.parametrize("bulk_from", [3, 100])
async def test_process_that_dies_after_each_page_makes_progress(bulk_from: int) -> None:
    """The org can't tell yet what has changed in the last minute, and so all of a page is read again."""
    world = World(bulk_from=bulk_from)
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    for _ in range(8):
        # Another process reads the rows as they were when the job began.
        changed = contact(IDS[-1], "2") | {"SystemModstamp": stamp(world.clock.now() - NOW)}
        world.records.records["Contact"][IDS[-1]] = changed
        for _ in range(2):
            await world.clock.turn(await world.step() or 1.0)
        world.restart()

    assert world.clock.now() - NOW < 60
    assert world.phones() == {**dict.fromkeys(IDS, "1"), IDS[-1]: "2"}
    assert max(Counter(event.id for event in world.log).values()) == 1


async def test_records_that_changed_before_a_job_was_committed_are_read_again_after_a_restart() -> None:
    """A save is older than the commit of its transaction, which the job has not seen."""
    world = World()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.until(lambda: world.log)
    changed = contact(IDS[5], "2") | {"SystemModstamp": stamp(-500)}
    world.records.records["Contact"][IDS[5]] = changed
    world.restart()
    world.queries.is_busy = True
    await world.step()
    await world.clock.turn(61)
    world.queries.is_busy = False
    await world.finish()

    assert world.phones()[IDS[5]] == "2"
    assert world.queries.requests.count("changed") == 1


async def test_record_has_another_event_in_the_job_after_a_lost_one() -> None:
    """The record can differ by then; the counts count records."""
    world = World()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.until(lambda: len(world.log) == 4)
    world.queries.jobs.clear()
    world.records.records["Contact"][IDS[0]] = contact(IDS[0], "2")
    ended = await world.finish()

    assert len(world.log) == 11
    assert max(Counter(event.id for event in world.log).values()) == 1
    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)
    assert world.phones()[IDS[0]] == "2"


async def test_record_that_only_a_lost_job_has_brought_does_not_count() -> None:
    """The rows of the job that brought most do: no progress could hold the ids of all rows."""
    world = World()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.until(lambda: len(world.log) == 4)
    world.queries.jobs.clear()
    del world.records.records["Contact"][IDS[0]]
    ended = await world.finish()

    assert len({event.key for event in world.log}) == 7
    assert (ended.state, ended.published) == (Repair.FULL, 6)


async def test_record_that_is_gone_before_a_late_answer_does_not_count_for_its_job() -> None:
    """The job after a lost one adds what it brings beyond the events of that one, and not beyond its rows."""
    world = SlowWorld()
    world.open(hole())
    await world.until(lambda: "page" in world.queries.requests)
    world.tell(IDS[0], None)
    await world.until(lambda: len(world.log) == 2)
    world.queries.jobs.clear()
    world.page_s = 0.0
    ended = await world.finish()

    assert [event.key for event in world.log] == [IDS[0], IDS[1], *IDS[1:]]
    assert (ended.state, ended.published) == (Repair.FULL, 6)


async def test_deletion_that_is_taken_back_before_a_late_answer_is_not_found() -> None:
    """The stream has brought the record."""
    world = SlowWorld(bulk_from=100)
    world.records_s = 30.0
    gone = world.records.records["Contact"][IDS[3]]
    world.queries.recycle("Contact", IDS[3], SystemModstamp=stamp(0))
    world.open(hole(HoleCause.OVERFLOW))
    await world.until(lambda: ("Contact", [IDS[3]], ["Id"]) in world.records.requests)
    assert not [event for event in world.log if event.is_deletion]
    world.records.records["Contact"][IDS[3]] = gone
    world.tell(IDS[3], "2")
    ended = await world.finish()

    assert not [event for event in world.log if event.is_deletion]
    assert (ended.found, ended.published) == (6, 6)


async def test_reading_over_rest_goes_on_behind_its_last_record_after_a_refusal() -> None:
    """A field can be gone, and the records come in the order of their ids."""
    world = World(bulk_from=100)
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.until(lambda: len(world.log) == 4)
    world.queries.error = RecordsRefused("No such column", code="INVALID_FIELD")
    await world.step()
    world.queries.error = None
    ended = await world.finish()

    assert [event.key for event in world.log] == IDS
    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)


async def test_limits_are_read_before_a_query_job_begins() -> None:
    """The latest reading can be five minutes old."""
    world = World(limits=limits_of(BULK_QUERY_JOBS=10))

    async def renew() -> None:
        world.limits = limits_of(BULK_QUERY_JOBS=1)

    world.renew_limits = renew
    world.restart()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    assert [await world.step() for _ in range(2)] == [0.0, 300.0]
    assert "begin" not in world.queries.requests
