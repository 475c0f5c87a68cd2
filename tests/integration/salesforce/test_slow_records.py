"""Records of an org that answers slowly when asked for many."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from streamer.clock import TurnedClock
from streamer.errors import RecordsRefused, RetryLater
from streamer.ports import RecordQuery
from streamer.salesforce.queries import RestQueries
from streamer.salesforce.records import RestRecords
from tests.rest_server import answering

QUERY = RecordQuery(entity="Account", fields=("Id", "Name"))


class SlowOrg:
    """An org that needs `row_s` for each record that is asked for; `asked` has their numbers."""

    def __init__(self, row_s: float) -> None:
        """Be asked for nothing."""
        self.clock = TurnedClock()
        self.row_s = row_s
        self.asked: list[int] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer after a while with as many records."""
        if request.method == "POST":
            ids = (await request.json())["ids"]
        else:
            limit = re.search(r"LIMIT (\d+)", request.query["q"])
            assert limit is not None
            ids = [f"{number:015d}AAA" for number in range(1, int(limit[1]) + 1)]
        self.asked.append(len(ids))
        await self.clock.sleep(len(ids) * self.row_s)
        records = [{"Id": each, "Name": "A"} for each in ids]
        return web.json_response(records if request.method == "POST" else {"done": False, "records": records})

    async def outcome(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `call` returns, turning the clock while it waits."""
        calling = asyncio.ensure_future(call())
        while not calling.done():
            await asyncio.sleep(0.002)
            await self.clock.turn(1.0)
        return await calling


async def test_page_that_takes_too_long_is_asked_for_with_half_of_its_rows() -> None:
    """And not at the same size for ever; `most` can be more than a page over REST has."""
    org = SlowOrg(row_s=0.2)
    async with answering(org.answer, org.clock) as rest:
        queries = RestQueries(rest, org.clock)
        for _ in range(2):
            with pytest.raises(RetryLater):
                await org.outcome(lambda: queries.page(QUERY, "rest", None, most=10_000))
        page = await org.outcome(lambda: queries.page(QUERY, "rest", None, most=10_000))

    assert org.asked == [2_000, 1_000, 500]
    assert len(page.rows) == 500


async def test_records_that_take_too_long_are_asked_for_in_parts() -> None:
    """All of them are returned."""
    org = SlowOrg(row_s=1.0)
    ids = [f"{number:015d}AAA" for number in range(200)]
    async with answering(org.answer, org.clock) as rest:
        records = RestRecords(rest)
        with pytest.raises(RetryLater):
            await org.outcome(lambda: records.read("Account", ids, ("Id", "Name")))
        found = await org.outcome(lambda: records.read("Account", ids, ("Id", "Name")))

    assert org.asked == [200, 100, 100]
    assert list(found) == ids


async def test_query_that_salesforce_breaks_off_is_asked_for_with_half_of_its_rows() -> None:
    """It ends a query after two minutes, and refuses one that has one row to read for good."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["q"].rpartition(" ")[2])
        refusal = {"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running for too long."}
        return web.json_response([refusal], status=400)

    async with answering(answer) as rest:
        queries = RestQueries(rest, TurnedClock())
        for _ in range(2):
            with pytest.raises(RetryLater):
                await queries.page(QUERY, "rest", None, most=4)
        with pytest.raises(RecordsRefused):
            await queries.page(QUERY, "rest", None, most=4)

    assert asked == ["4", "2", "1"]
