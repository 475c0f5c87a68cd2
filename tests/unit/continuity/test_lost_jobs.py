"""Query jobs that fail for a temporary reason are repeated for hours before Streamer gives up."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streamer.continuity import reason_of
from streamer.errors import RecordsRefused
from streamer.events import HoleCause, Repair
from streamer.ports import RecordPage, RecordQuery
from tests.unit.continuity.test_readings import IDS, NOW, World, hole

TOO_LONG = RecordsRefused("the job has ended as Failed. QUERY_TIMEOUT: too long", code="QUERY_TIMEOUT")


@dataclass
class FailingWorld(World):
    """An org whose query jobs, and pages over REST, fail while `is_failing` says so by their kind."""

    is_failing: Callable[[str], bool] = lambda _: True
    error: RecordsRefused = TOO_LONG

    def restart(self) -> None:
        """Go on in another process."""
        super().restart()
        page, is_ready = self.queries.page, self.queries.is_ready

        async def failing(job: str, /) -> bool:
            if job != "rest" and self.is_failing(job):
                raise self.error
            return await is_ready(job)

        async def refused(query: RecordQuery, job: str, /, after: str | None, *, most: int) -> RecordPage:
            if self.is_failing(job):
                raise self.error
            return await page(query, job, after, most=most)

        self.queries.is_ready = failing  # type: ignore[method-assign] # it is the same, and fails
        self.queries.page = refused  # type: ignore[method-assign] # it is the same, and fails

    async def lose_two(self) -> None:
        """Let two jobs be lost, without the pause before the next one."""
        while not reason_of(self.states[-1].progress):
            assert len(self.states) < 10
            await self.step()


@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "UNABLE_TO_LOCK_ROW", "Failed", "Aborted", "NOT_FOUND"])
async def test_jobs_that_fail_do_not_end_a_repair(code: str) -> None:
    """The next one can read the records in pages, which become smaller where a query takes too long."""
    world = FailingWorld()
    world.is_failing = lambda job: job != "rest"
    world.error = RecordsRefused("lost", code=code)
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    ended = await world.finish()

    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)
    assert [event.key for event in world.log] == IDS
    assert world.clock.now() - NOW >= 60


async def test_job_that_never_succeeds_is_given_up_after_hours() -> None:
    """By then, the trouble has not passed; the record says meanwhile why it waits."""
    world = FailingWorld()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    ended = await world.finish()

    assert ended.state is Repair.NONE
    assert "QUERY_TIMEOUT" in ended.detail
    assert 2 * 3600 < world.clock.now() - NOW < 12 * 3600
    assert {reason_of(each.progress) for each in world.states} == {"", str(TOO_LONG)}
    assert world.queries.requests.count("begin") == 2


async def test_job_that_is_refused_for_its_contents_is_given_up_at_once() -> None:
    """Hours would not help."""
    world = FailingWorld()
    world.error = RecordsRefused("No such column", code="INVALID_FIELD")
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    ended = await world.finish()

    assert (ended.state, world.clock.now() - NOW <= 60) == (Repair.NONE, True)


async def test_pause_after_a_lost_job_outlives_the_process() -> None:
    """One that dies each minute would have no tries left soon."""
    world = FailingWorld()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.lose_two()
    assert world.states[-1].progress["jobs"] == 2
    world.restart()

    assert await world.step() == pytest.approx(60.0)
    assert reason_of(world.states[-1].progress) == str(TOO_LONG)
    await world.clock.turn(60)
    await world.step()
    assert world.states[-1].progress["job"] == "rest"


async def test_others_are_read_while_one_waits_for_its_next_job() -> None:
    """An hour can pass before that."""
    world = FailingWorld()
    world.copy_contacts("Account")
    world.is_failing = lambda _: not world.log
    world.open(hole(HoleCause.ENTITY_CHANGE))
    await world.lose_two()
    world.is_failing = lambda _: False
    world.open(hole(HoleCause.ENTITY_CHANGE, id="gap:8", entity="Account"))
    await world.until(lambda: len(world.log) == len(IDS), steps=12)

    assert {event.data["entity"] for event in world.log} == {"Account"}
    assert (await world.finish()).state is Repair.FULL
    assert len(world.log) == 2 * len(IDS)


async def test_entity_that_is_too_large_to_be_counted_is_read_in_bulk() -> None:
    """The records found are counted as they are published."""
    world = World()

    async def too_long(_query: RecordQuery, /) -> int:
        raise TOO_LONG

    world.queries.count = too_long  # type: ignore[method-assign] # it is the same, and takes too long
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    ended = await world.finish()

    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)
    assert world.queries.requests.count("begin") == 1


@pytest.mark.parametrize("request_name", ["begin", "deleted"])
@pytest.mark.parametrize("code", ["QUERY_TIMEOUT", "UNABLE_TO_LOCK_ROW", "REQUEST_RUNNING_TOO_LONG"])
async def test_what_is_refused_beside_a_job_is_asked_again(request_name: str, code: str) -> None:
    """For as long as it takes; what is refused for good ends the reading."""
    world = World()
    asked = getattr(world.queries, request_name)
    errors = [RecordsRefused("busy", code=code)] * 5

    async def refused(*arguments: object, **named: object) -> object:
        if errors:
            raise errors.pop()
        return await asked(*arguments, **named)

    setattr(world.queries, request_name, refused)
    world.open(hole(HoleCause.OVERFLOW))
    ended = await world.finish()

    assert (ended.state, ended.published) == (Repair.FULL, 7)
    assert "busy" in {reason_of(each.progress) for each in world.states}
