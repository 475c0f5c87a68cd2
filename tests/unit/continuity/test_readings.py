"""Entities are read step by step, and no row is appended after newer events of its record."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from streamer.clock import TurnedClock
from streamer.continuity import EntityReader, Readings, Snapshots, reason_of
from streamer.continuity.entity_reader import OrgReaders, ReadingSizes
from streamer.errors import RecordsRefused, RetryLater
from streamer.events import ContinuityRecord, Event, EventId, HoleCause, JsonObject, Repair, ReplayId
from streamer.log.memory import MemoryLog
from streamer.quota import JobAllowance, Limit, LimitsReading, OrgLimit
from streamer.quota.governor import renew_nothing
from streamer.salesforce.memory import MemoryQueries, MemoryRecords
from tests.contracts.values import an_event
from tests.messages import CHANGES
from tests.unit.normalise.describes import CONTACT

IDS = [f"003AB000000{number:04d}AAA" for number in range(7)]
NOW = 1_735_689_600.0
STAMP = "2025-01-01T00:00:00.000Z"
POSITION = ReplayId(b"7")


def contact(record_id: str, phone: str) -> JsonObject:
    """Return a contact."""
    return {"Id": record_id, "LastName": "Berg", "Phone": phone, "SystemModstamp": STAMP, "IsDeleted": False}


def hole(cause: HoleCause = HoleCause.ENTITY_CHANGE, **more: object) -> ContinuityRecord:
    """Return a new hole."""
    known = ContinuityRecord(
        id="gap:7",
        channel=CHANGES,
        cause=cause,
        detail="all of Contact",
        recorded_at=NOW,
        state=Repair.NONE,
        entity="Contact",
        verified_at=NOW - 60,
        until=NOW,
    )
    return replace(known, **more)  # type: ignore[arg-type] # fields of a record


@dataclass
class World:
    """An org of contacts, and the readings of one channel; `log` is what they have brought."""

    clock: TurnedClock = field(default_factory=lambda: TurnedClock(NOW))
    entities: tuple[str, ...] = ("Contact",)
    bulk_from: int = 3
    limits: LimitsReading | None = None
    renew_limits: Callable[[], Awaitable[None]] = renew_nothing
    records: MemoryRecords = field(init=False)
    queries: MemoryQueries = field(init=False)
    readings: Readings = field(init=False)
    log: list[Event] = field(default_factory=list)
    states: list[ContinuityRecord] = field(default_factory=list)
    woken: int = 0

    def __post_init__(self) -> None:
        """Begin with all contacts."""
        contacts = {each: contact(each, "1") for each in IDS}
        self.records = MemoryRecords({"Contact": contacts}, {"Contact": CONTACT})
        self.queries = MemoryQueries(self.clock, self.records.records)
        self.queries.conditions = _Any()
        self.restart()

    def restart(self) -> None:
        """Go on in another process, with what is open in the log."""

        async def entities() -> Sequence[str]:
            return self.entities

        reader = EntityReader(
            channel=CHANGES,
            org=OrgReaders(
                queries=self.queries,
                replication=self.queries,
                records=self.records,
                describer=self.records,
            ),
            entities=entities,
            clock=self.clock,
            allowance=JobAllowance(limits=lambda: self.limits, renew_limits=self.renew_limits),
            sizes=ReadingSizes(bulk_from=self.bulk_from, page_rows=2),
        )
        snapshots = Snapshots(channel=CHANGES, log=MemoryLog(), ended=lambda _: None)
        self.readings = Readings(reader=reader, snapshots=snapshots, clock=self.clock)
        last = {each.id: each for each in self.states}
        self.readings.resume([each for each in last.values() if each.state is Repair.OPEN], self._wake)

    def copy_contacts(self, entity: str) -> None:
        """Have the org hold records of another entity, equal to its contacts."""
        self.records.records[entity] = {each: contact(each, "1") for each in IDS}
        self.records.describes[entity] = {**CONTACT, "name": entity}

    def open(self, found: ContinuityRecord) -> ContinuityRecord:
        """Let the readings have a new hole, which enters the log."""
        self.states.append(self.readings.adopted(found))
        return self.states[-1]

    async def step(self) -> float:
        """Make one step; return in how many seconds the next is due."""
        repaired = await self.readings.step(POSITION)
        self.log += repaired.events
        self.states += repaired.records
        return repaired.again_in_s

    async def until(self, condition: Callable[[], object], *, steps: int = 50) -> None:
        """Make steps until `condition` holds."""
        for _ in range(steps):
            if condition():
                return
            await self.clock.turn(await self.step())
        raise AssertionError(self.states[-1])

    async def finish(self) -> ContinuityRecord:
        """Make all steps, and return the last state."""
        await self.until(lambda: not self.readings.has_work)
        return self.states[-1]

    def phones(self) -> dict[str, str]:
        """Return what a consumer of the log knows."""
        known: dict[str, str] = {}
        for event in self.log:
            known.pop(event.key, None)
            if not event.is_deletion:
                known[event.key] = event.data["fields"]["Phone"]
        return known

    def tell(self, record_id: str, phone: str | None) -> None:
        """Change or delete a contact, and append the event."""
        kind = "updated" if phone is not None else "deleted"
        if phone is None:
            self.records.records["Contact"].pop(record_id)
        else:
            self.records.records["Contact"][record_id] = contact(record_id, phone)
        event = replace(
            an_event(record_id, what=f"salesforce.cdc.Contact.{kind}"),
            id=EventId(f"{record_id}:{phone}"),
            key=record_id,
            data={"entity": "Contact", "record_id": record_id, "fields": {"Phone": phone}},
        )
        self.readings.taken([event])
        self.log.append(event)

    def _wake(self) -> None:
        self.woken += 1


class _Any(dict[str, Callable[[JsonObject], bool]]):
    """Conditions that all records meet, and which are remembered."""

    def get(self, key: str, default: object = None) -> Callable[[JsonObject], bool]:  # noqa: ARG002 - a dictionary's shape
        """Note the condition."""
        self.setdefault(key, lambda _: True)
        return self[key]


@pytest.mark.parametrize("bulk_from", [3, 100])
async def test_whole_entity_is_read_page_by_page(bulk_from: int) -> None:
    """In bulk or over REST, each record once; what was found and published is counted."""
    world = World(bulk_from=bulk_from)
    opened = world.open(hole())
    assert (opened.state, opened.is_new, world.woken) == (Repair.OPEN, True, 1)
    ended = await world.finish()

    assert [event.key for event in world.log] == IDS
    assert {event.type for event in world.log} == {"salesforce.cdc.Contact.snapshot"}
    assert {event.replay_id for event in world.log} == {POSITION}
    assert (ended.state, ended.found, ended.published, ended.progress) == (Repair.FULL, 7, 7, {})
    assert not ended.is_new
    assert world.queries.jobs == {}


async def test_change_that_the_log_has_told_is_not_told_older() -> None:
    """The job has the records as they were; a changed one is read again, and a deleted one is left out."""
    world = World()
    world.open(hole())
    await world.until(lambda: world.queries.jobs)
    world.tell(IDS[0], "2")
    world.tell(IDS[1], None)
    await world.until(lambda: world.log[2:])
    world.tell(IDS[5], "3")
    world.tell(IDS[6], None)
    await world.finish()

    org = {each: record["Phone"] for each, record in world.records.records["Contact"].items()}
    assert world.phones() == org
    assert len(org) == 5


async def test_process_that_goes_on_learns_from_the_org_what_has_changed() -> None:
    """Another process has published them; nothing is read twice."""
    world = World()
    world.open(hole())
    await world.until(lambda: world.log)
    before = len(world.log)
    await world.clock.turn(90)
    changed = contact(IDS[4], "2") | {"SystemModstamp": "2025-01-01T00:01:00.000Z"}
    world.records.records["Contact"][IDS[4]] = changed
    world.queries.recycle("Contact", IDS[5], SystemModstamp="2025-01-01T00:01:00.000Z")
    world.restart()
    await world.finish()

    assert {event.key: event.data["fields"]["Phone"] for event in world.log} == {
        **dict.fromkeys((*IDS[:4], IDS[6]), "1"),
        IDS[4]: "2",
    }
    assert len(world.log) == 6
    assert before == 2


async def test_process_that_goes_on_learns_what_has_changed_by_the_orgs_clock() -> None:
    """That clock is minutes ahead, so the last changes before the restart seem to lie in the future."""
    world = World()
    world.queries.ahead_s = 240.0
    world.open(hole())
    await world.until(lambda: world.log)
    await world.clock.turn(30)
    changed = contact(IDS[4], "2") | {"SystemModstamp": "2025-01-01T00:04:29.000Z"}
    world.records.records["Contact"][IDS[4]] = changed
    world.queries.recycle("Contact", IDS[5], SystemModstamp="2025-01-01T00:04:29.000Z")
    world.restart()
    world.queries.is_busy = True
    await world.until(lambda: world.clock.now() > NOW + 600)
    world.queries.is_busy = False
    await world.finish()

    assert world.phones() == {**dict.fromkeys((*IDS[:4], IDS[6]), "1"), IDS[4]: "2"}
    assert world.queries.requests.count("changed") == 1


async def test_job_that_is_gone_is_begun_again() -> None:
    """After two that were lost, pages over REST read the rest: nobody can delete these."""
    world = World()
    world.open(hole())
    await world.until(lambda: world.log)
    world.queries.jobs.clear()
    await world.until(lambda: world.queries.jobs)
    world.queries.jobs.clear()
    ended = await world.finish()

    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)
    assert world.queries.requests.count("begin") == 2
    assert sorted(world.phones()) == IDS


async def test_what_can_pass_is_waited_for() -> None:
    """With back-off; a reading that is refused ends, and says why."""
    world = World()
    world.open(hole())
    world.queries.error = RetryLater("503", after_s=40.0)
    assert await world.step() == 40.0
    world.queries.error = RetryLater("503")
    assert await world.step() > 5.0
    world.queries.error = RecordsRefused("no right to see it", code="INSUFFICIENT_ACCESS")
    ended = await world.finish()

    assert (ended.state, ended.detail) == (Repair.NONE, "all of Contact; no right to see it")


async def test_requests_are_left_to_others() -> None:
    """A reading can wait for some minutes, before any page, and continues by itself."""
    world = World()
    world.open(hole())
    world.queries.requests_left = 0.19
    assert await world.step() == 300.0
    assert world.queries.requests == []
    left = "only 19.0% of the org's daily requests are left"
    reserved = "20% of the limit are reserved for other clients"
    reason = f"{left}, Streamer needs 2 of them, and {reserved}"
    assert reason_of(world.states[-1].progress) == reason
    world.queries.requests_left = 1.0
    await world.until(lambda: world.log)
    assert reason_of(world.states[-1].progress) == ""
    read = len(world.log)
    world.queries.requests_left = 0.1
    await world.step()
    assert (len(world.log), reason_of(world.states[-1].progress)[:10]) == (read, "only 10.0%")
    world.queries.requests_left = None

    assert (await world.finish()).state is Repair.FULL
    assert [event.key for event in world.log] == IDS


async def test_reason_to_wait_is_recorded_once() -> None:
    """However often it is tried again, and across a restart."""
    world = World()
    world.open(hole())
    world.queries.error = RetryLater("503")
    for _ in range(3):
        await world.clock.turn(await world.step())
    world.restart()
    await world.step()
    assert [reason_of(each.progress) for each in world.states] == ["", "503"]
    assert world.states[-1].is_new is False
    world.queries.error = None

    assert (await world.finish()).state is Repair.FULL


def limits_of(**left: int) -> LimitsReading:
    """Return limits of ten each, with so much left."""
    limits = {OrgLimit[name]: Limit(most=10 if most else 0, remaining=most) for name, most in left.items()}
    return LimitsReading(limits=limits, at=NOW, read_at=0.0)


async def test_query_jobs_are_left_to_others() -> None:
    """The records are counted before, and the job begins when there are some again."""
    world = World(limits=limits_of(BULK_QUERY_JOBS=2))
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    assert [await world.step() for _ in range(2)] == [0.0, 300.0]
    assert world.queries.requests == ["count"]
    assert "of the org's daily Bulk query jobs are left" in reason_of(world.states[-1].progress)
    world.limits = limits_of(BULK_QUERY_JOBS=10)

    assert (await world.finish()).state is Repair.FULL
    assert world.queries.requests.count("begin") == 1


async def test_jobs_that_the_limits_do_not_count_yet_are_counted() -> None:
    """Salesforce's numbers are accurate within five minutes."""
    world = World(limits=limits_of(BULK_QUERY_JOBS=4))
    for number in range(3):
        world.open(hole(HoleCause.ENTITY_CHANGE, id=f"gap:{number}"))
    await world.until(lambda: reason_of(world.states[-1].progress))

    assert world.queries.requests.count("begin") == 2
    assert "Streamer needs 3 of them" in reason_of(world.states[-1].progress)
    assert world.limits is not None
    world.limits = replace(world.limits, read_at=world.clock.monotonic() + 300)
    await world.finish()

    assert world.queries.requests.count("begin") == 3


async def test_query_that_is_too_long_for_pages_leaves_jobs_to_others_too() -> None:
    """However few the records are, it needs a job."""
    world = World(bulk_from=100, limits=limits_of(BULK_QUERY_JOBS=2))
    world.queries.longest = 3
    world.open(hole())
    await world.until(lambda: reason_of(world.states[-1].progress))
    assert "begin" not in world.queries.requests
    world.limits = limits_of(BULK_QUERY_JOBS=10)

    assert (await world.finish()).state is Repair.FULL
    assert world.queries.requests.count("begin") == 1


async def test_org_without_query_jobs_is_read_over_rest() -> None:
    """It would have none tomorrow either."""
    world = World(limits=limits_of(BULK_QUERY_JOBS=0))
    world.open(hole(HoleCause.SNAPSHOT, entity=None))

    assert (await world.finish()).state is Repair.FULL
    assert (world.queries.jobs, [event.key for event in world.log]) == ({}, IDS)


async def test_job_is_ended_whatever_is_left() -> None:
    """That gives the org back more than it takes."""
    world = World()
    world.open(hole(HoleCause.SNAPSHOT, entity=None))
    await world.until(lambda: len(world.log) == len(IDS))
    world.queries.requests_left = 0.0

    assert (await world.finish()).state is Repair.FULL
    assert world.queries.jobs == {}


async def test_overflow_is_read_since_its_transaction_began() -> None:
    """And the deletions since its commit are told, unless the record exists again."""
    world = World()
    world.open(hole(HoleCause.OVERFLOW))
    await world.until(lambda: world.log)
    await world.clock.turn(60)
    for each in IDS[3:5]:
        world.queries.recycle("Contact", each, SystemModstamp="2025-01-01T00:00:30.000Z")
    # The org can report a deletion although the record was restored.
    world.records.records["Contact"][IDS[4]] = contact(IDS[4], "1")
    ended = await world.finish()

    [where] = world.queries.conditions
    assert where == "SystemModstamp >= 2024-12-31T23:40:00.000Z"
    assert [event.key for event in world.log if event.is_deletion] == [IDS[3]]
    assert ended.state is Repair.FULL


async def test_refused_replay_id_reads_all_entities_of_the_channel() -> None:
    """Those that the org names at the time; with none, the hole stays."""
    world = World()
    world.open(hole(HoleCause.REPLAY_ID_REFUSED, entity=None))
    assert (await world.finish()).state is Repair.FULL
    assert [event.key for event in world.log] == IDS
    world.entities = ()
    world.open(hole(HoleCause.PLACE_LOST, entity=None, id="place:7"))

    ended = await world.finish()
    assert ended.state is Repair.NONE
    assert f"; the org has selected no entity for {CHANGES.path}: select entities with" in ended.detail


async def test_hole_that_no_reading_repairs_stays_as_it_is() -> None:
    """A gap event of records is another's, and a position without a time says nothing."""
    world = World()
    for each in (hole(HoleCause.GAP_EVENT), hole(HoleCause.REPLAY_ID_REFUSED, verified_at=None)):
        assert world.readings.adopted(each) == each
    assert not world.readings.has_work


async def test_progress_that_cannot_be_read_ends_the_reading() -> None:
    """Somebody else can have written it."""
    world = World()
    world.states.append(hole(state=Repair.OPEN, progress={"parts": [{"entity": 7}]}))
    world.restart()
    ended = await world.finish()

    assert ended.state is Repair.NONE
    assert "the stored progress of the repair can't be read" in ended.detail
