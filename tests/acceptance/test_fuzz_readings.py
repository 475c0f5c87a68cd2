"""Any answer of an org to a query for records becomes records or a known error."""

import asyncio
import contextlib
import csv
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import TurnedClock
from streamer.continuity.progress import ReadingProgress, RecordSelection, query_of, shape_of
from streamer.errors import StreamerError, UnreadableEvent
from streamer.events import Channel, OrgId, ReplayId
from streamer.log.records import decode_event, encode_event
from streamer.normalise.record_events import SnapshotRead, snapshot_event
from streamer.ports import RecordQuery
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from tests.acceptance.fuzz.cases import share
from tests.acceptance.fuzz.grammar import Json, describe, encoded, mutated, row, torn
from tests.configuration import CHANGES
from tests.rest_server import VERSION, answering

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

ACCOUNT = "Account"
IDS = ("001000000000001AAA", "001000000000002AAA")
QUERY = RecordQuery(entity=ACCOUNT, fields=("Id", "Name", "AnnualRevenue"))
BULK = f"bulk:{VERSION}:1735689600123:750000000000001AAA"
READ = SnapshotRead(
    snapshot="s1",
    channel=Channel(org=OrgId("00DSb0000000001MAA"), path=CHANGES),
    position=ReplayId(b"7"),
    read_at=1_795_755_881.0,
)


def answered(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the function that gives this answer to each call."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


@share(4)
@given(described=mutated(describe()), rows=st.lists(mutated(row()), min_size=1, max_size=4))
def test_row_is_an_event_that_the_log_can_hold_or_refused(described: Any, rows: list[Any]) -> None:
    """By the error that makes it a dead letter, whatever the describe of its entity promised."""
    asyncio.run(_read_rows(encoded(described), encoded(rows)))


async def _read_rows(described: bytes, rows: bytes) -> None:
    part = RecordSelection(entity=ACCOUNT)
    try:
        async with answering(answered(described)) as rest:
            shape = await shape_of(part, RestRecords(rest))
        async with answering(answered(b'{"done": true, "records": %s}' % rows)) as rest:
            page = await RestQueries(rest, TurnedClock()).page(
                query_of(part, shape), "rest", None, most=2_000
            )
    except StreamerError:
        return
    for each in page.rows:
        with contextlib.suppress(UnreadableEvent):
            event = snapshot_event(shape.record(each), READ)
            assert decode_event(encode_event(event)) == event


@st.composite
def csv_pages(draw: st.DrawFn) -> bytes:
    """Draw a page of a query job's results, sound or not."""
    cells = st.sampled_from([*IDS, "Acme", "", "1.5E7", '"', "a,b\n", "\x00", "x" * 200_000]) | st.text(
        max_size=9
    )
    rows = draw(st.lists(st.lists(cells, min_size=2, max_size=4), max_size=4))
    sound = [[each, "Acme", "1.5E7"] for each in IDS]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([QUERY.fields, *sound, *rows])
    content = text.getvalue().encode("utf-8", "surrogatepass")
    return draw(torn(content)) if draw(st.booleans()) else content


HEADERS: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {},
    optional={
        "Sforce-Locator": st.sampled_from(["null", "abc", "", "x" * 5_000, "a\tb"]),
        "Sforce-NumberOfRecords": st.sampled_from(["2", "3", "-1", "1e9", "99999999999999999999"]),
        "Sforce-Limit-Info": st.sampled_from(["api-usage=1/2", "api-usage=9/0", "api-usage=x"]),
        "Retry-After": st.sampled_from(["1", "-1", "later"]),
        "Content-Encoding": st.sampled_from(["gzip", "br"]),
    },
)


@share(3)
@given(body=csv_pages(), headers=HEADERS, status=st.sampled_from([200, 200, 200, 206, 204, 500]))
def test_page_of_a_job_is_whole_or_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    """A page is never taken for the last one because of what its head lacks."""
    asyncio.run(_read_page(body, headers, status))


async def _read_page(body: bytes, headers: dict[str, str], status: int) -> None:
    async with answering(answered(body, status, headers)) as rest:
        try:
            page = await RestQueries(rest, TurnedClock()).page(QUERY, BULK, None, most=9)
        except StreamerError:
            return
    assert len(page.rows) == int(headers["Sforce-NumberOfRecords"])
    assert all(set(each) == set(QUERY.fields) for each in page.rows)
    assert (page.following is None) == (headers["Sforce-Locator"] == "null")


SPAN = {
    "earliestDateAvailable": "2026-11-01T00:00:00.000+0000",
    "latestDateCovered": "2026-11-27T05:04:00.000+0000",
}
DELETED = {"id": IDS[0], "deletedDate": "2026-11-27T05:04:00.000+0000"}
REFUSED = [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "m", "fields": []}]
Asking = Callable[[Rest], Awaitable[object]]
ASKED: list[tuple[Asking, Json]] = [
    (
        lambda rest: RestQueries(rest, TurnedClock()).count(QUERY),
        {"totalSize": 7, "done": True, "records": []},
    ),
    (lambda rest: RestQueries(rest, TurnedClock()).begin(QUERY, in_bulk=True), {"id": "750000000000001AAA"}),
    (
        lambda rest: RestQueries(rest, TurnedClock()).is_ready(BULK),
        {"state": "JobComplete", "errorMessage": "m"},
    ),
    (lambda rest: RestQueries(rest, TurnedClock()).end(BULK), {}),
    (lambda rest: RestRecords(rest).read(ACCOUNT, IDS, ["Name"]), [{"Name": "a"}, None]),
    (
        lambda rest: RestReplication(rest, TurnedClock()).changed(ACCOUNT, 0.0, 9_000.0),
        {**SPAN, "ids": list(IDS)},
    ),
    (
        lambda rest: RestReplication(rest, TurnedClock()).deleted(ACCOUNT, 0.0, 9_000.0),
        {**SPAN, "deletedRecords": [DELETED]},
    ),
]


@share(4)
@given(asked=st.sampled_from(ASKED), data=st.data())
def test_answer_about_records_is_taken_or_refused(asked: tuple[Asking, Json], data: st.DataObject) -> None:
    """By an error that the repair expects, and after which it goes on."""
    ask, document = asked
    document = data.draw(st.sampled_from([document, document, document, REFUSED]))
    body = encoded(data.draw(mutated(document)))
    if data.draw(st.booleans()):
        body = data.draw(torn(body))
    status = data.draw(st.sampled_from([200, 200, 200, 201, 400, 404, 500, 503]))
    asyncio.run(_ask(ask, body, status))


async def _ask(ask: Asking, body: bytes, status: int) -> None:
    async with answering(answered(body, status, {"Content-Type": "application/json"})) as rest:
        with contextlib.suppress(StreamerError):
            await ask(rest)


PART = {"entity": ACCOUNT, "where": "Name != null", "fields": ["Name"], "since": 1.0}
PROGRESS = {
    "parts": [PART],
    "since": 1.0,
    "until": 2.0,
    "job": BULK,
    "anchor": 1.5,
    "after": IDS[0],
    "has_rows": True,
    "jobs": 1,
    "lacks": "",
}


@share(3)
@given(progress=mutated(PROGRESS))
def test_progress_goes_on_or_is_refused(progress: Any) -> None:
    """And what goes on is kept as it is."""
    if not isinstance(progress, dict):
        return
    try:
        found = ReadingProgress.of(progress)
    except ValueError:
        return
    assert ReadingProgress.of(found.to_json()) == found
