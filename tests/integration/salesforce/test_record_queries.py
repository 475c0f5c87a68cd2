"""Reading in volume, with answers that the sandbox does not give."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from streamer.clock import TurnedClock
from streamer.errors import RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.normalise.record_shape import RecordShape
from streamer.ports import RecordQuery
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.queries.soql import PAGE_BYTES
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.server import Sandbox, SandboxSettings
from tests.rest_server import VERSION, answering
from tests.streaming import org_at

QUERY = RecordQuery(entity="Account", fields=("Id", "Name"))
WIDE = RecordQuery(entity="Account", fields=("Id", *(f"Some_Field_{number}__c" for number in range(799))))
JOB_ID = "750000000000001AAA"
JOB = f"bulk:{VERSION}:1735689600123:{JOB_ID}"
BODY = b'"Id","Name"\n"001000000000001AAA","A"\n"001000000000002AAA","B"\n'
TOLD = {"Sforce-NumberOfRecords": "2", "Sforce-Locator": "null"}
ROWS = [{"Id": "001000000000001AAA", "Name": "A"}, {"Id": "001000000000002AAA", "Name": "B"}]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def queries(answer: Answer) -> AsyncIterator[RestQueries]:
    """Yield a reader of a server that gives `answer` to every call."""
    async with answering(answer) as rest:
        yield RestQueries(rest, TurnedClock())


def fixed(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return a function that answers every call the same way; a body other than bytes is sent as JSON."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_results_are_read_whole_and_compressed(headers: dict[str, str]) -> None:
    """In the version of the job, with the locator as it came."""
    asked: list[web.Request] = []
    body = gzip.compress(BODY, mtime=0) if headers else BODY

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return web.Response(body=body, headers={**TOLD, **headers, "Sforce-Locator": "b+/="})

    async with queries(answer) as reader:
        page = await reader.page(QUERY, JOB, "a+/=&x", most=1_000)

    assert (page.rows, page.following, page.read_at) == (ROWS, "b+/=", 1735689600.123)
    assert asked[0].path == f"/services/data/v{VERSION}/jobs/query/{JOB_ID}/results"
    assert dict(asked[0].query) == {"maxRecords": "1000", "locator": "a+/=&x"}
    assert (asked[0].headers["Accept"], "gzip" in asked[0].headers["Accept-Encoding"]) == ("text/csv", True)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY[:-27], {}),
        (BODY[:-8], {}),
        (b"", {}),
        (b'"Name"\n"A"\n"B"\n', {}),
        (BODY.replace(b"A", b"\xff"), {}),
        (BODY, {"Sforce-NumberOfRecords": "3"}),
        (BODY, {"Sforce-NumberOfRecords": "1"}),
        (BODY, {"Sforce-NumberOfRecords": ""}),
        (BODY, {"Sforce-NumberOfRecords": "-2"}),
        (BODY, {"Sforce-NumberOfRecords": "\xb2"}),
        (BODY, {"Sforce-Locator": ""}),
        (BODY, {"Sforce-Locator": "x" * 2_001}),
        (BODY, {"Sforce-Locator": "LATER"}),
        (BODY, {"Content-Encoding": "gzip"}),
        (gzip.compress(BODY, mtime=0)[:-12], {"Content-Encoding": "gzip"}),
        (b"<html>Down for maintenance</html>", {}),
        ([{"errorCode": "X"}], {}),
    ],
)
async def test_page_that_is_not_whole_is_no_answer(body: Any, changed: dict[str, str]) -> None:
    """It is asked for again, and no row of it is used."""
    async with queries(fixed(body, headers={**TOLD, **changed})) as reader:
        with pytest.raises(SalesforceUnavailable):
            await reader.page(QUERY, JOB, "LATER", most=1_000)


@pytest.mark.parametrize("header", [b'"Id"', b'"Id","Name","Fax__c"', b'"Fax__c","ID"'])
async def test_page_of_other_fields_needs_another_job(header: bytes) -> None:
    """A field came or went after the job was created; the same page would come for ever."""
    async with queries(fixed(header + b"\n", headers={**TOLD, "Sforce-NumberOfRecords": "0"})) as reader:
        with pytest.raises(RecordsRefused):
            await reader.page(QUERY, JOB, None, most=1_000)


@pytest.mark.parametrize("most", [1, 3])
async def test_records_that_are_too_large_together_are_read_in_parts(most: int) -> None:
    """Or what needs them would wait for ever."""
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        ids = (await request.json())["ids"]
        asked.append(len(ids))
        size = 10_000 if len(ids) > most else 1
        return web.json_response([{"Id": each, "Name": "A" * size} for each in ids])

    ids = [f"001{number:012d}AAA" for number in range(5)]
    async with answering(answer, answer_bytes=5_000) as rest:
        found = await RestRecords(rest).read("Account", ids, ("Id", "Name"))

    assert list(found) == ids
    assert all(found[each] == {"Id": each, "Name": "A"} for each in ids)
    assert max(each for each in asked if each != 5) <= 3


@pytest.mark.parametrize(("job", "body"), [(JOB, BODY), ("rest", {"records": ROWS, "done": True})])
async def test_more_records_than_were_asked_for_are_no_page(job: str, body: Any) -> None:
    """Their number keeps a page within its memory."""
    async with queries(fixed(body, headers=TOLD)) as reader:
        with pytest.raises(SalesforceUnavailable, match="more records than"):
            await reader.page(QUERY, job, None, most=1)


async def test_success_of_another_kind_is_no_page() -> None:
    """A proxy's, for instance."""
    async with queries(fixed(BODY, status=203, headers=TOLD)) as reader:
        with pytest.raises(SalesforceUnavailable, match="203"):
            await reader.page(QUERY, JOB, None, most=1_000)


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NOT_FOUND"), (409, "API_ERROR"), (400, "INVALID_QUERY_LOCATOR"), (403, "INSUFFICIENT_ACCESS")],
)
async def test_refused_results_have_the_code(status: int, code: str) -> None:
    """The caller begins another job."""
    async with queries(fixed([{"errorCode": code, "message": "m"}], status=status)) as reader:
        with pytest.raises(RecordsRefused) as raised:
            await reader.page(QUERY, JOB, None, most=1_000)

    assert raised.value.code == code


@pytest.mark.parametrize("job", [JOB, "rest"])
async def test_too_large_page_is_asked_for_in_parts(job: str) -> None:
    """So that memory stays bounded, and the next page begins with the size that fitted."""
    limits: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = request.query.get("maxRecords") or request.query["q"].rpartition(" ")[2]
        limits.append(int(asked))
        if limits[-1] > 300:
            return web.Response(body=b" " * (PAGE_BYTES + 1), headers=TOLD)
        if job == "rest":
            return web.json_response({"done": True, "records": ROWS})
        return web.Response(body=BODY, headers=TOLD)

    async with queries(answer) as reader:
        first = await reader.page(QUERY, job, None, most=1_000)
        await reader.page(QUERY, job, None, most=1_000)

    assert first.rows == ROWS
    assert limits == [1_000, 500, 250, 282]


async def test_record_that_is_too_large_alone_is_no_answer() -> None:
    """Which ends, and does not halve one for ever."""
    async with queries(fixed(b" " * (PAGE_BYTES + 1), headers=TOLD)) as reader:
        with pytest.raises(SalesforceUnavailable, match="more than"):
            await reader.page(QUERY, JOB, None, most=4)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"state": "Failed", "errorMessage": "QUERY_TIMEOUT: too long"}, "QUERY_TIMEOUT"),
        ({"state": "Failed", "errorMessage": "Something broke"}, "Failed"),
        ({"state": "Failed", "errorMessage": None}, "Failed"),
        ({"state": "Aborted"}, "Aborted"),
    ],
)
async def test_job_that_brings_nothing_is_refused(state: dict[str, Any], code: str) -> None:
    """With Salesforce's reason."""
    async with queries(fixed(state)) as reader:
        with pytest.raises(RecordsRefused, match=JOB_ID) as raised:
            await reader.is_ready(JOB)

    assert raised.value.code == code


@pytest.mark.parametrize("body", [{}, {"state": "Paused"}, {"state": []}, [], "x", None])
async def test_job_in_no_known_state_is_no_answer(body: Any) -> None:
    """To wait for it in silence could last for ever."""
    async with queries(fixed(body)) as reader:
        with pytest.raises(SalesforceUnavailable):
            await reader.is_ready(JOB)


@pytest.mark.parametrize("job", ["", "bulk:", "bulk:64.0:1:../../limits", f"{JOB}/results", "REST"])
async def test_text_of_no_job_is_refused(job: str) -> None:
    """No request is sent, and ending it does not fail."""
    async with queries(fixed({"state": "JobComplete"})) as reader:
        for asked in (reader.is_ready(job), reader.page(QUERY, job, None, most=9)):
            with pytest.raises(RecordsRefused, match="begin a new query job"):
                await asked
        await reader.end(job)


@pytest.mark.parametrize("body", [{}, [], None, {"id": 7}, {"id": "750/../1"}, {"id": "750"}])
async def test_creation_without_an_id_is_no_answer(body: Any) -> None:
    """Nothing could be asked for."""
    async with queries(fixed(body)) as reader:
        with pytest.raises(SalesforceUnavailable):
            await reader.begin(QUERY, in_bulk=True)


async def test_used_up_jobs_are_waited_for() -> None:
    """Other clients use some of the day's jobs."""
    refused = [{"errorCode": "LIMIT_EXCEEDED", "message": "Max bulk v2 query jobs (10000) per 24 hrs"}]
    async with queries(fixed(refused, status=400)) as reader:
        with pytest.raises(RetryLater, match="daily limit of query jobs"):
            await reader.begin(QUERY, in_bulk=True)


async def test_query_that_is_too_long_for_an_address_is_read_in_bulk() -> None:
    """Salesforce refuses addresses of more than 16 KB."""
    async with queries(fixed({"id": JOB_ID})) as reader:
        assert (await reader.begin(WIDE, in_bulk=False)).endswith(JOB_ID)
        assert await reader.begin(QUERY, in_bulk=False) == "rest"
        with pytest.raises(RecordsRefused, match="use the Bulk API"):
            await reader.page(WIDE, "rest", None, most=9)


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {},
        {"records": {}},
        {"records": ["x"]},
        {"records": [{"Name": "A"}], "done": True},
        {"records": [{"Id": "001' OR Id > '"}], "done": True},
        {"records": [], "done": False},
        {"records": [{"Id": "001000000000000AAA"}], "done": True},
    ],
)
async def test_answer_without_records_is_no_page(body: Any) -> None:
    """Nor is one that begins where the page before ended, which could go on for ever."""
    async with queries(fixed(body)) as reader:
        with pytest.raises(SalesforceUnavailable):
            await reader.page(QUERY, "rest", "001000000000000AAA", most=9)


async def test_short_page_is_not_taken_for_the_last() -> None:
    """Salesforce gives fewer records than were asked for when they are large."""
    records = [{"attributes": {"type": "Account"}, **each} for each in ROWS]
    async with queries(fixed({"records": records, "done": False, "nextRecordsUrl": "/x"})) as reader:
        page = await reader.page(QUERY, "rest", None, most=500)

    assert page.rows == ROWS
    assert page.following == ROWS[-1]["Id"]


async def test_place_that_is_no_id_is_refused() -> None:
    """It would become part of the query."""
    async with queries(fixed({"records": [], "done": True})) as reader:
        with pytest.raises(RecordsRefused, match="is not a record id"):
            await reader.page(QUERY, "rest", "' OR Id != '", most=9)


@pytest.mark.parametrize(
    "body", [[], {}, {"totalSize": -1}, {"totalSize": "7"}, {"totalSize": True}, {"totalSize": 2**53}]
)
async def test_count_that_is_none_is_no_answer(body: Any) -> None:
    """A forecast would be wrong."""
    async with queries(fixed(body)) as reader:
        with pytest.raises(SalesforceUnavailable):
            await reader.count(QUERY)


_AT = "2025-01-01T00:00:00.000+0000"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"ids": ["001A"]},
        {"ids": [7], "latestDateCovered": _AT},
        {"ids": ["001A"], "latestDateCovered": "soon"},
        {"deletedRecords": [{"id": "001A"}], "earliestDateAvailable": _AT, "latestDateCovered": _AT},
        {"ids": ["001A"], "latestDateCovered": _AT},
        {
            "deletedRecords": [{"id": "001A", "deletedDate": _AT}],
            "earliestDateAvailable": _AT,
            "latestDateCovered": _AT,
        },
        {"deletedRecords": ["001A"], "earliestDateAvailable": _AT, "latestDateCovered": _AT},
        {"deletedRecords": [], "latestDateCovered": _AT},
    ],
)
async def test_answer_without_changes_is_none(body: Any) -> None:
    """Neither of `updated` nor of `deleted`."""
    async with answering(fixed(body)) as rest:
        replication = RestReplication(rest, TurnedClock())
        for asked in (replication.changed, replication.deleted):
            with pytest.raises(SalesforceUnavailable):
                await asked("Account", 0.0, 600.0)


async def test_span_is_extended_to_minutes_and_ends_before_the_present() -> None:
    """Salesforce ignores seconds, and its clock can be slower than ours: nothing is certain up to the end."""
    clock = TurnedClock()
    spans: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        spans.append((request.query["start"], request.query["end"]))
        return web.json_response({"ids": [], "latestDateCovered": request.query["end"]})

    async with answering(answer) as rest:
        replication = RestReplication(rest, clock)
        now = clock.now()
        found = await replication.changed("Account", now - 270, now + 1)
        await replication.changed("Account", now - 3600, now - 3599)

    assert spans == [
        ("2024-12-31T23:55:00+00:00", "2025-01-01T00:01:00+00:00"),
        ("2024-12-31T23:00:00+00:00", "2024-12-31T23:02:00+00:00"),
    ]
    assert found.until == now - 60


async def test_answer_is_complete_for_its_span_alone() -> None:
    """Whatever it says."""
    covered = {"ids": [ROWS[0]["Id"]], "latestDateCovered": "2024-12-31T23:30:00.000Z"}
    async with answering(fixed(covered)) as rest:
        clock = TurnedClock()
        now = clock.now()
        found = await RestReplication(rest, clock).changed("Account", now - 3600, now - 2400)

    assert (found.ids, found.until) == ([ROWS[0]["Id"]], now - 2400)


async def test_span_that_can_not_be_halved_is_refused() -> None:
    """More than 600,000 records within two minutes."""
    refused = [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "m"}]
    async with answering(fixed(refused, status=400)) as rest:
        with pytest.raises(RecordsRefused) as raised:
            await RestReplication(rest, TurnedClock()).changed("Account", 0.0, 86_400.0)

    assert raised.value.code == "EXCEEDED_ID_LIMIT"


async def test_results_that_break_off_are_read_again() -> None:
    """And numbers with an exponent are those that the record has."""
    schema = {"Number__c": {"type": "double", "precision": 18, "scale": 0}}
    clock = TurnedClock()
    settings = SandboxSettings(
        org=OrgSetup(schema=parse_schema({"objects": {"Order__c": {"fields": schema}}}))
    )
    async with Sandbox(clock, settings=settings) as sandbox, aiohttp.ClientSession() as http:
        rest = Rest(http, Tokens(http, org_at(sandbox.url), clock), clock)
        reader = RestQueries(rest, clock)
        with sandbox.org.transaction() as transaction:
            for number in range(3):
                transaction.create("Order__c", {"Number__c": 16_147_805_824_397 + number})
        shape = RecordShape.of(await RestRecords(rest).describe("Order__c"))
        query = RecordQuery(entity="Order__c", fields=shape.select)
        job = await reader.begin(query, in_bulk=True)
        while not await reader.is_ready(job):
            await clock.turn(1)
        sandbox.faults.cut_results(after_bytes=400)
        with pytest.raises(SalesforceUnavailable):
            await reader.page(query, job, None, most=9)
        page = await reader.page(query, job, None, most=9)

    assert any("E13" in row["Number__c"] for row in page.rows)
    numbers = [shape.record(row).fields["Number__c"] for row in page.rows]
    assert sorted(numbers) == [16_147_805_824_397.0 + number for number in range(3)]
