"""Contracts of `RecordQueries` and `Replication`, for the twin and for the clients of Salesforce."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import aiohttp
import pytest

from streamer.clock import TurnedClock
from streamer.errors import RecordsRefused
from streamer.normalise.malformed import as_event_time
from streamer.normalise.record_events import OrgRecord
from streamer.normalise.record_shape import RecordShape
from streamer.ports import RecordPage, RecordQueries, RecordQuery, Replication
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.memory import MemoryQueries
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.rest import Rest
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.replication import ReplicationLimits
from streamer.sandbox.server import Sandbox, SandboxSettings
from tests.streaming import org_at

FIELDS = ("Id", "Name", "Industry", "IsDeleted")
ALL = RecordQuery(entity="Account", fields=FIELDS)
_ENERGY = "Industry = 'Energy' OR Industry = 'Coal (hard)'"
_PAGE_ROWS, _MOST_IDS = 4, 3
_QUEUED_S, _RUNNING_S = 5.0, 60.0
_MINUTE_S = 60.0


class Org(Protocol):
    """An org with accounts, and readers of them."""

    clock: TurnedClock
    queries: RecordQueries
    replication: Replication

    def restart(self) -> None:
        """Replace the readers, as a restart of the process does."""
        ...

    async def proceed(self) -> None:
        """Do what the jobs wait for."""
        ...

    def create(self, name: str, industry: str | None = None) -> str:
        """Create an account, and return its id."""
        ...

    def update(self, record_id: str, name: str) -> None:
        """Change the name of an account."""
        ...

    def delete(self, record_id: str) -> None:
        """Move an account into the Recycle Bin."""
        ...


class Twin:
    """The twin in memory."""

    def __init__(self) -> None:
        """Hold no record."""
        self.clock = TurnedClock()
        self._memory = MemoryQueries(self.clock, {"Account": {}}, page_rows=_PAGE_ROWS, most_ids=_MOST_IDS)
        self._memory.is_busy = True
        self._memory.conditions[_ENERGY] = lambda row: row["Industry"] in {"Energy", "Coal (hard)"}
        self.queries: RecordQueries = self._memory
        self.replication: Replication = self._memory
        self._made = 0

    def restart(self) -> None:
        """Keep the org, which the twin is."""

    async def proceed(self) -> None:
        """Make them ready."""
        self._memory.is_busy = False

    def create(self, name: str, industry: str | None = None) -> str:
        """Hold one more."""
        self._made += 1
        record_id = f"001{self._made:015d}"
        self._memory.records["Account"][record_id] = {
            "Id": record_id,
            "Name": name,
            "Industry": industry,
            "IsDeleted": False,
            "SystemModstamp": self._now(),
        }
        return record_id

    def update(self, record_id: str, name: str) -> None:
        """Replace one."""
        accounts = self._memory.records["Account"]
        accounts[record_id] = {**accounts[record_id], "Name": name, "SystemModstamp": self._now()}

    def delete(self, record_id: str) -> None:
        """Hold it with those that are deleted."""
        self._memory.recycle("Account", record_id, SystemModstamp=self._now())

    def _now(self) -> str:
        return as_event_time(datetime.fromtimestamp(self.clock.now(), UTC))


class Sandboxed:
    """The sandbox's org."""

    def __init__(self, sandbox: Sandbox, clock: TurnedClock, rest: Rest) -> None:
        """Read it over its APIs."""
        self.clock = clock
        self._sandbox = sandbox
        self._rest = rest
        self.restart()

    def restart(self) -> None:
        """Make new readers."""
        self.queries: RecordQueries = RestQueries(self._rest, self.clock)
        self.replication: Replication = RestReplication(self._rest, self.clock)

    async def proceed(self) -> None:
        """Let their time pass."""
        await self.clock.turn(_QUEUED_S)
        await self.clock.turn(_RUNNING_S)

    def create(self, name: str, industry: str | None = None) -> str:
        """Create a record in a transaction of its own."""
        with self._sandbox.org.transaction() as transaction:
            return transaction.create("Account", {"Name": name, "Industry": industry})

    def update(self, record_id: str, name: str) -> None:
        """Change it in a transaction of its own."""
        with self._sandbox.org.transaction() as transaction:
            transaction.update("Account", record_id, {"Name": name})

    def delete(self, record_id: str) -> None:
        """Delete it in a transaction of its own."""
        with self._sandbox.org.transaction() as transaction:
            transaction.delete("Account", record_id)


@pytest.fixture(params=["twin", "sandbox"])
async def org(request: pytest.FixtureRequest) -> AsyncIterator[Org]:
    """Each org in turn."""
    if request.param == "twin":
        yield Twin()
        return
    clock = TurnedClock()
    settings = SandboxSettings(
        bulk=BulkLimits(queued_s=_QUEUED_S, running_s=_RUNNING_S, page_rows=_PAGE_ROWS),
        replication=ReplicationLimits(ids=_MOST_IDS),
    )
    async with Sandbox(clock, settings=settings) as sandbox, aiohttp.ClientSession() as http:
        yield Sandboxed(sandbox, clock, Rest(http, Tokens(http, org_at(sandbox.url), clock), clock))


@pytest.fixture(params=["rest", "bulk"])
def in_bulk(request: pytest.FixtureRequest) -> bool:
    """Each way of reading."""
    return bool(request.param == "bulk")


SHAPE = RecordShape.of(
    {
        "name": "Account",
        "fields": [
            {"name": "Id", "type": "id"},
            {"name": "Name", "type": "string"},
            {"name": "Industry", "type": "picklist"},
            {"name": "IsDeleted", "type": "boolean"},
        ],
    }
)


async def begun(org: Org, query: RecordQuery, *, in_bulk: bool) -> str:
    """Return a job that is ready."""
    job = await org.queries.begin(query, in_bulk=in_bulk)
    while not await org.queries.is_ready(job):
        await org.proceed()
    return job


async def pages(org: Org, query: RecordQuery, job: str, *, most: int = 1_000) -> list[RecordPage]:
    """Return all pages of a job."""
    read = [await org.queries.page(query, job, None, most=most)]
    while (following := read[-1].following) is not None:
        read.append(await org.queries.page(query, job, following, most=most))
    return read


def records(*read: RecordPage) -> list[OrgRecord]:
    """Return the records of some pages."""
    return [SHAPE.record(row) for page in read for row in page.rows]


def names(*read: RecordPage) -> Sequence[object]:
    """Return the names of the records of some pages, in order."""
    return sorted(record.fields["Name"] for record in records(*read))


async def test_every_record_comes_once(org: Org, in_bulk: bool) -> None:  # noqa: FBT001 - a fixture
    """With all fields, in pages of no more rows than were asked for."""
    ids = [org.create(f"A{number}", "Energy" if number % 2 else None) for number in range(9)]

    read = await pages(org, ALL, await begun(org, ALL, in_bulk=in_bulk), most=2)

    assert all(len(page.rows) <= 2 for page in read)
    found = sorted(records(*read), key=lambda record: str(record.fields["Name"]))
    assert [record.id for record in found] == ids
    assert found[3] == OrgRecord(entity="Account", id=ids[3], fields={"Name": "A3", "Industry": "Energy"})
    assert found[4].fields["Industry"] is None
    assert await org.queries.count(ALL) == 9


async def test_no_records_are_one_empty_page(org: Org, in_bulk: bool) -> None:  # noqa: FBT001 - a fixture
    """And the last one."""
    (page,) = await pages(org, ALL, await begun(org, ALL, in_bulk=in_bulk))

    assert (page.rows, page.following) == ([], None)


async def test_condition_limits_all_pages(org: Org, in_bulk: bool) -> None:  # noqa: FBT001 - a fixture
    """Also one with OR, which binds less than what a page adds to it."""
    for number, industry in enumerate(["Energy", "Food", "Coal (hard)", "Food", "Energy"]):
        org.create(f"A{number}", industry)
    query = replace(ALL, where=_ENERGY)

    read = await pages(org, query, await begun(org, query, in_bulk=in_bulk), most=1)

    assert names(*read) == ["A0", "A2", "A4"]
    assert await org.queries.count(query) == 3


async def test_deleted_records_come_when_they_are_asked_for(org: Org, in_bulk: bool) -> None:  # noqa: FBT001 - a fixture
    """And say that they are."""
    org.create("Kept")
    org.delete(org.create("Gone"))
    query = replace(ALL, with_deleted=True)

    found = records(*await pages(org, query, await begun(org, query, in_bulk=in_bulk), most=1))

    assert {record.fields["Name"]: record.is_deleted for record in found} == {"Kept": False, "Gone": True}
    assert names(*await pages(org, ALL, await begun(org, ALL, in_bulk=in_bulk))) == ["Kept"]
    assert (await org.queries.count(query), await org.queries.count(ALL)) == (2, 1)


async def test_page_of_rest_is_fresh(org: Org) -> None:
    """It has what changed after the page before it."""
    first = org.create("A")
    second = org.create("B")
    job = await begun(org, ALL, in_bulk=False)
    page = await org.queries.page(ALL, job, None, most=1)
    await org.clock.turn(60)
    org.delete(first)
    org.update(second, "C")
    now = org.clock.now()

    following = await org.queries.page(ALL, job, page.following, most=1)

    assert names(page) == ["A"]
    assert names(following) == ["C"]
    assert page.read_at < now <= following.read_at


async def test_pages_of_a_job_are_those_of_one_time(org: Org) -> None:
    """Not before `read_at`, however late they are read."""
    for name in ("A", "B", "C"):
        org.create(name)
    asked_at = org.clock.now()
    job = await begun(org, ALL, in_bulk=True)
    await org.clock.turn(600)
    org.create("D")

    read = await pages(org, ALL, job, most=2)

    assert names(*read) == ["A", "B", "C"]
    assert [page.read_at for page in read] == pytest.approx([asked_at, asked_at], abs=0.002)


async def test_job_goes_on_after_a_restart(org: Org, in_bulk: bool) -> None:  # noqa: FBT001 - a fixture
    """From its text and that of its place, and a page can be read again."""
    for number in range(5):
        org.create(f"A{number}")
    job = await begun(org, ALL, in_bulk=in_bulk)
    first = await org.queries.page(ALL, job, None, most=2)
    again = await org.queries.page(ALL, job, None, most=2)
    org.restart()

    second = await org.queries.page(ALL, job, first.following, most=9)

    assert await org.queries.is_ready(job)
    assert names(first, second) == ["A0", "A1", "A2", "A3", "A4"]
    assert (again.rows, again.following) == (first.rows, first.following)


async def test_ended_job_is_gone(org: Org) -> None:
    """To end it again does not fail."""
    org.create("A")
    job = await begun(org, ALL, in_bulk=True)

    await org.queries.end(job)
    await org.queries.end(job)

    with pytest.raises(RecordsRefused) as raised:
        await org.queries.is_ready(job)
    assert raised.value.code == "NOT_FOUND"
    with pytest.raises(RecordsRefused):
        await org.queries.page(ALL, job, None, most=9)


async def test_job_that_has_not_run_can_be_ended(org: Org) -> None:
    """Nobody needs what it would find."""
    job = await org.queries.begin(ALL, in_bulk=True)
    assert not await org.queries.is_ready(job)

    await org.queries.end(job)

    with pytest.raises(RecordsRefused):
        await org.queries.is_ready(job)


async def test_job_of_rest_has_nothing_to_end(org: Org) -> None:
    """It is good for ever, and live."""
    job = await org.queries.begin(ALL, in_bulk=False)
    await org.queries.end(job)

    assert await org.queries.is_ready(job)
    assert org.queries.is_live(job)
    assert not org.queries.is_live(await org.queries.begin(ALL, in_bulk=True))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (replace(ALL, entity="Acount"), "INVALID_TYPE"),
        (replace(ALL, where="Name = = 'A'"), "MALFORMED_QUERY"),
    ],
)
async def test_refused_query_has_the_code(org: Org, query: RecordQuery, code: str) -> None:
    """At the first request that has its text."""
    for asked in (
        lambda: org.queries.begin(query, in_bulk=True),
        lambda: org.queries.page(query, "rest", None, most=9),
        lambda: org.queries.count(query),
    ):
        with pytest.raises(RecordsRefused) as raised:
            await asked()
        assert raised.value.code == code


async def test_changed_and_deleted_records_of_a_span_are_named(org: Org) -> None:
    """Each by itself, and no later than it is certain."""
    org.create("Old")
    await org.clock.turn(10 * _MINUTE_S)
    start = org.clock.now()
    new, gone = org.create("New"), org.create("Gone")
    await org.clock.turn(5 * _MINUTE_S)
    org.delete(gone)
    await org.clock.turn(5 * _MINUTE_S)

    changed = await org.replication.changed("Account", start, org.clock.now())
    deleted = await org.replication.deleted("Account", start, org.clock.now())

    assert changed.ids == [new]
    assert [each.record_id for each in deleted.deleted] == [gone]
    assert deleted.deleted[0].deleted_at == pytest.approx(start + 5 * _MINUTE_S, abs=1)
    assert deleted.since < start
    for until in (changed.until, deleted.until):
        assert start + 5 * _MINUTE_S < until <= org.clock.now()


async def test_span_with_too_many_records_is_read_in_parts(org: Org) -> None:
    """A caller that continues where an answer ends finds all of them."""
    start = org.clock.now()
    created = []
    for number in range(4 * _MOST_IDS):
        created.append(org.create(f"A{number}"))
        await org.clock.turn(_MINUTE_S)
    for record_id in created[::2]:
        org.delete(record_id)
        await org.clock.turn(_MINUTE_S)
    await org.clock.turn(5 * _MINUTE_S)
    end = org.clock.now() - 3 * _MINUTE_S

    changed, deleted = set[str](), set[str]()
    until = start
    while until < end:
        found = await org.replication.changed("Account", until, end)
        assert found.until > until
        assert found.has_more == (found.until < end)
        changed, until = changed | {*found.ids}, found.until
    until = start
    while until < end:
        gone = await org.replication.deleted("Account", until, end)
        assert gone.until > until
        assert gone.has_more == (gone.until < end)
        deleted, until = deleted | {each.record_id for each in gone.deleted}, gone.until

    assert (changed, deleted) == ({*created[1::2]}, {*created[::2]})


async def test_last_minute_is_not_covered(org: Org) -> None:
    """However often it is asked for; the org can name what happened in it."""
    await org.clock.turn(30)
    created = org.create("New")
    now = org.clock.now()
    for _ in range(2):
        changed = await org.replication.changed("Account", now - 60, now)
        assert (changed.ids, changed.has_more) == ([created], False)
        assert changed.until <= org.clock.now() - _MINUTE_S
        await org.clock.turn(1)


async def test_changes_of_no_entity_are_refused(org: Org) -> None:
    """Both kinds."""
    for asked in (org.replication.changed, org.replication.deleted):
        with pytest.raises(RecordsRefused):
            await asked("Acount", org.clock.now() - 600, org.clock.now())
