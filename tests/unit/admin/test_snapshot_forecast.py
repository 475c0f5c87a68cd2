"""The cost of a snapshot, and a refusal by Salesforce, are known before it is ordered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from streamer.admin.continuity import rate_of
from streamer.clock import TurnedClock
from streamer.continuity import SnapshotForecaster
from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.events import ContinuityRecord, HoleCause, JsonObject, Repair
from streamer.ports import RecordQuery
from streamer.quota import Limit, LimitsReading, OrgLimit
from streamer.salesforce.memory import MemoryQueries, MemoryRecords
from tests.contracts.values import CHANGES
from tests.unit.admin.test_snapshots import run
from tests.unit.admin.world import Asking, World
from tests.unit.normalise.describes import CONTACT

FORMER = ContinuityRecord(
    id="snapshot:0",
    channel=CHANGES,
    cause=HoleCause.SNAPSHOT,
    detail="otto ordered a snapshot of Contact",
    recorded_at=100.0,
    state=Repair.FULL,
    entity="Contact",
    found=60_000,
    published=60_000,
    updated_at=700.0,
)


class Queries(MemoryQueries):
    """Counts what a test says; with `hangs`, never."""

    counted = 12_001
    hangs = False
    asked: RecordQuery | None = None

    async def count(self, query: RecordQuery, /) -> int:
        """Return the number, where the memory does not refuse the query."""
        self.asked = query
        await super().count(replace(query, where=query.where if query.where == "Nome = 1" else ""))
        if self.hangs:
            await asyncio.Event().wait()
        return self.counted


@dataclass
class Org:
    """An org with contacts, and its limits."""

    world: World
    limits: LimitsReading | None = field(
        default_factory=lambda: LimitsReading(
            limits={OrgLimit.API_REQUESTS: Limit(most=1_000, remaining=500)}, at=0.0, read_at=0.0
        )
    )

    def __post_init__(self) -> None:
        """Describe contacts alone."""
        self.queries = Queries(TurnedClock(), {"Contact": {}})
        self.forecaster = SnapshotForecaster(
            queries=self.queries,
            describer=MemoryRecords({}, {"Contact": CONTACT}),
            limits=lambda: self.limits,
        )

    @contextmanager
    def read(self) -> Iterator[None]:
        """Let the process read the org inside the context."""
        with self.world.context.with_forecaster(self.forecaster):
            yield


@pytest.fixture
def org(world: World) -> Iterator[Org]:
    """An org that the process reads."""
    org = Org(world)
    with org.read():
        yield org


async def forecast(ask: Asking, **asked: object) -> JsonObject:
    """Return the forecast of a snapshot of contacts."""
    status, body = await ask.post("/snapshots", entity="Contact", dry_run=True, **asked)
    assert status == 200, body
    found: JsonObject = body["forecast"]
    return found


@pytest.mark.usefixtures("org")
async def test_forecast_tells_records_way_and_cost(ask: Asking) -> None:
    """A large one is read by a query job, page by page."""
    assert await forecast(ask) == {
        "records": 12_001,
        "way": "bulk",
        "requests": 31,
        "bulk_jobs": 1,
        "cost": "about 31 requests (6.2% of the 500 that are left of the daily limit of 1,000) and 1 Bulk "
        "query job with 7 pages of results; the daily limit of delivered events is not affected",
        "seconds": None,
        "waits": "",
        "unknown": "",
    }


async def test_forecast_of_a_small_snapshot_is_read_over_rest(org: Org, ask: Asking) -> None:
    """As is any of an org without query jobs; the deletions since a time cost something too."""
    org.queries.counted = 4_001
    small = await forecast(ask, since="2024-12-31T00:00:00Z", where="Name != ''")
    assert (small["way"], small["requests"], small["bulk_jobs"]) == ("rest", 7, 0)
    assert org.queries.asked is not None
    assert org.queries.asked.where == "(Name != '') AND SystemModstamp >= 2024-12-30T23:40:00.000Z"
    org.queries.counted = 12_001
    org.limits = LimitsReading(
        limits={OrgLimit.BULK_QUERY_JOBS: Limit(most=0, remaining=0)}, at=0.0, read_at=0.0
    )
    assert ((await forecast(ask))["way"], (await forecast(ask))["requests"]) == ("rest", 9)


async def test_forecast_tells_that_not_all_can_be_read_today(org: Org, ask: Asking) -> None:
    """By the share that is kept."""
    org.queries.counted = 1_000_000
    assert (await forecast(ask))["waits"] == (
        "only 50.0% of the org's daily requests are left, Streamer needs 524 of them, and 20% of "
        "the limit are reserved for other clients"
    )


@pytest.mark.usefixtures("org")
async def test_forecast_tells_the_time_by_former_snapshots(world: World, ask: Asking) -> None:
    """At 100 records a second."""
    world.log.continuity.append(FORMER)

    assert (await forecast(ask))["seconds"] == 120.0


def test_rate_is_the_middle_one_of_the_latest_whole_snapshots() -> None:
    """Small ones, parts, and ones of no time tell none."""
    others = [
        replace(FORMER, published=2_000),
        replace(FORMER, state=Repair.PARTIAL),
        replace(FORMER, updated_at=100.0),
        replace(FORMER, updated_at=None),
    ]
    assert rate_of(others) is None
    assert rate_of([*others, FORMER]) == 100.0
    slow = [replace(FORMER, published=30_000), replace(FORMER, published=6_000)]
    assert rate_of([FORMER, *slow]) == 50.0
    assert rate_of([*[slow[0]] * 90, *[FORMER] * 10]) == 100.0


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"entity": "Kontakt"}, "Salesforce refuses this snapshot: the object Kontakt: "),
        ({"entity": "Kontakt"}, "check the object's API name, and let the user of org.auth read the object."),
        ({"fields": ["Fone"]}, "Contact has no field Fone that can be selected: correct the names"),
        ({"where": "Nome = 1"}, "the condition: unexpected token: Nome = 1: correct the condition."),
        ({"since": "2030-01-01T00:00:00Z"}, "since: must be a time since 1970 that is not in the future."),
        ({"since": "1969-01-01T00:00:00Z"}, "since: must be a time since 1970"),
        ({"since": "2024-01-01T00:00:00"}, "since"),
    ],
)
@pytest.mark.usefixtures("org")
async def test_what_would_be_refused_is_told_with_its_place(
    ask: Asking, asked: dict[str, object], sentence: str
) -> None:
    """And the remedy."""
    status, body = await ask.post("/snapshots", **{"entity": "Contact", "dry_run": True, **asked})

    assert (status, sentence in body["error"]) == (400, True), body


async def test_process_that_does_not_read_salesforce_can_not_know(world: World, ask: Asking) -> None:
    """Nor one that has stopped to read it."""
    with Org(world).read():
        assert (await forecast(ask))["unknown"] == ""
    found = await forecast(ask)

    assert found["unknown"].startswith("this process does not read Salesforce")
    assert (found["records"], found["cost"]) == (None, "")


@pytest.mark.parametrize("error", [SalesforceUnavailable("HTTP 503"), None])
async def test_org_that_gives_no_count_leaves_the_cost_unknown(
    world: World, org: Org, ask: Asking, error: StreamerError | None
) -> None:
    """The snapshot can be ordered all the same; it is tried again then."""
    org.queries.error, org.queries.hangs = error, True
    asked = asyncio.create_task(forecast(ask))
    while not (asked.done() or world.clock.waiting):  # noqa: ASYNC110 - it is a client's
        await asyncio.sleep(0)
    await world.clock.turn(60)

    assert (await asked)["unknown"] == (
        "HTTP 503" if error else "Salesforce did not count the records within 60 s"
    )


async def test_start_prints_the_forecast_before_it_asks(world: World, org: Org, ask: Asking) -> None:
    """With --yes too; what would be refused is not ordered."""
    world.log.continuity.append(FORMER)
    org.limits = None
    asked = await run(ask, "start", "Contact", "--since", "2024-12-31T09:30:00Z")
    told = " ".join(asked.output.split())
    assert "The snapshot reads 12,001 records with a query job of the Bulk API: about 33 requests" in told
    assert "At the rate of earlier snapshots, the snapshot takes about 0:02:00." in told
    question = "Publish the records of Contact since 2024-12-31 09:30:00Z in /data/ChangeEvents?"
    assert told.index("takes about 0:02:00") < told.index(question)
    refused = await run(ask, "start", "Contact", "--where", "Nome = 1", "--yes")
    assert (refused.exit_code, "the condition: unexpected token" in refused.output) == (1, True)
    assert (await run(ask, "start", "Contact", "--since", "soon")).exit_code == 2
    assert not (await world.context.control_state()).snapshots
    org.queries.requests_left = 0.1
    done = await run(ask, "start", "Contact", "--since", "2024-12-31T09:30:00Z", "--yes")

    assert done.exit_code == 0, done.output
    assert (
        "The snapshot can't read all records now: only 10.0% of the org's daily requests are left"
        in done.output
    )
    [order] = (await world.context.control_state()).snapshots.values()
    assert order.since == 1_735_637_400.0


async def test_start_says_what_it_can_not_know(ask: Asking) -> None:
    """And goes on."""
    done = await run(ask, "start", "Contact", "--yes")

    assert (done.exit_code, "The cost is unknown: this process does not read" in done.output) == (
        0,
        True,
    )
