"""Look-ups in a service over HTTP: faults delay events, but never supply a wrong record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.dispatch.lookups.cache import FieldNames
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.errors import RecordsRefused, RetryLater, ServiceRefused, ServiceUnavailable
from streamer.known_secrets import MASK
from subscribers.lookup import HttpLookup
from tests.unit.dispatch.lookups.world import Counted
from tests.waiting import until

NAME = FieldNames.of("name")
TOKEN = "a-token-of-the-crm"
BEARER = {"kind": "bearer", "token": TOKEN}


@dataclass
class Crm:
    """A service with customers, by id; it answers with `status` where that is set, when it is `open`."""

    customers: dict[str, Any] = field(default_factory=lambda: {"4711": {"name": "Acme", "tier": 1}})
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    refused: frozenset[str] = frozenset()
    requests: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def one(self, request: web.Request) -> web.Response:
        """Answer with one customer."""
        found = self.customers.get(request.match_info["id"])
        return await self._answered(request, {"data": found} if found is not None else None)

    async def several(self, request: web.Request) -> web.Response:
        """Answer with a list of customers."""
        ids = (await request.json())["ids"] if request.can_read_body else request.query["ids"].split(",")
        found = [{"id": each, **self.customers[each]} for each in ids if each in self.customers]
        refused = self.refused & set(ids)
        return await self._answered(request, {"data": found}, status=422 if refused else 0)

    async def _answered(self, request: web.Request, found: Any, *, status: int = 0) -> web.Response:
        self.requests.append(f"{request.method} {request.raw_path}")
        await self.open.wait()
        if status := status or self.status:
            echoed = self.text or f"no: {request.headers.get('Authorization')}"
            return web.Response(status=status, headers=self.headers, text=echoed)
        return web.json_response(status=404) if found is None else web.json_response(found)


@dataclass(kw_only=True)
class Desk:
    """A service, and look-ups in it."""

    crm: Crm
    lookups: RecordLookups
    clock: TurnedClock
    seen: Counted

    async def found(self, record_id: str = "4711", fields: FieldNames = NAME) -> Any:
        """Look a customer up."""
        return await self.lookups.find("", record_id, fields)

    async def all_found(self, *ids: str) -> list[Any]:
        """Look several customers up at once, and return what is found or raised for each."""
        finding = [asyncio.ensure_future(self.found(each)) for each in ids]
        await self.clock.turn(0)
        return await asyncio.gather(*finding, return_exceptions=True)


@asynccontextmanager
async def opened(path: str = "/customers/{id}", **settings: Any) -> AsyncIterator[Desk]:
    """Yield look-ups in a service whose address ends with `path`."""
    crm, clock, seen = Crm(), TurnedClock(), Counted()
    crm.open.set()
    app = web.Application()
    app.router.add_get("/customers/{id}", crm.one)
    app.router.add_route("*", "/customers", crm.several)
    async with TestServer(app) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        model = HttpLookup.Settings.model_validate({"url": url, "result": "data", "auth": BEARER, **settings})
        async with HttpLookup(model, clock) as service:
            limits = LookupLimits(batch=service.batch, max_in_flight=service.max_in_flight, collect_s=0)
            lookups = RecordLookups(service, clock, limits, seen)
            async with lookups.running():
                yield Desk(crm=crm, lookups=lookups, clock=clock, seen=seen)


async def test_record_is_asked_for_once_and_its_members_are_kept() -> None:
    """Others of the answer are not; those that are not there are absent; ids are quoted."""
    async with opened() as desk:
        desk.crm.customers["a/b c"] = {"name": "Quoted"}
        both = FieldNames.of("name", "country")
        assert await desk.all_found("4711", "4711") == [{"name": "Acme"}] * 2
        assert await desk.found() == {"name": "Acme"}
        assert await desk.found("a/b c", both) == {"name": "Quoted"}
        assert desk.crm.requests == ["GET /customers/4711", "GET /customers/a%2Fb%20c"]


async def test_several_records_are_asked_for_at_once_where_each_is_a_request() -> None:
    """Up to the service's bound."""
    async with opened(max_in_flight=2) as desk:
        desk.crm.open.clear()
        finding = [asyncio.ensure_future(desk.found(each)) for each in ("1", "2", "4711")]
        await until(lambda: len(desk.crm.requests) == 2)
        desk.crm.open.set()
        assert await asyncio.gather(*finding) == [None, None, {"name": "Acme"}]
        assert len(desk.crm.requests) == 3


async def test_404_is_a_missing_record_and_remembered() -> None:
    """It costs one request."""
    async with opened() as desk:
        assert [await desk.found("1"), await desk.found("1")] == [None, None]
        assert desk.crm.requests == ["GET /customers/1"]


@pytest.mark.parametrize("place", ["query", "body"])
async def test_batch_asks_for_several_in_one_request(place: str) -> None:
    """Those that the answer leaves out are missing."""
    async with opened("/customers?active=1", batch={place: "ids"}) as desk:
        desk.crm.customers["2"] = {"name": "Beta"}
        assert await desk.all_found("4711", "1", "2") == [{"name": "Acme"}, None, {"name": "Beta"}]
        expected = {"query": "GET /customers?active=1&ids=4711,1,2", "body": "POST /customers?active=1"}
        assert [each.replace("%2C", ",") for each in desk.crm.requests] == [expected[place]]


async def test_id_that_is_refused_costs_no_other() -> None:
    """The request is made again in halves."""
    async with opened("/customers", batch={"query": "ids"}) as desk:
        desk.crm.refused = frozenset({"bad"})
        refused, acme, missing, comma = await desk.all_found("bad", "4711", "1", "2,3")
        assert (acme, missing) == ({"name": "Acme"}, None)
        assert isinstance(refused, RecordsRefused)
        assert isinstance(comma, RecordsRefused)
        assert "422" in str(refused)
        assert "comma" in str(comma)


async def test_refusal_is_told_in_the_services_words_without_our_secret() -> None:
    """And the next record is asked for all the same."""
    async with opened() as desk:
        desk.crm.status = 400
        with pytest.raises(RecordsRefused, match="400 Bad Request: no: Bearer") as refused:
            await desk.found("1")
        assert TOKEN not in str(refused.value)
        assert MASK in str(refused.value)
        desk.crm.status = 0
        assert await desk.found() == {"name": "Acme"}
        assert desk.seen.calls == [(1, "refused"), (1, "answered")]


async def test_refusal_in_json_is_told_once() -> None:
    """Its message follows the status."""
    async with opened() as desk:
        desk.crm.status, desk.crm.text = 422, '{"error": {"code": "bad_id", "message": "No such form of id"}}'
        with pytest.raises(RecordsRefused) as refused:
            await desk.found("1")
        assert str(refused.value).endswith("422 Unprocessable Entity (bad_id): No such form of id")


async def test_503_is_obeyed_and_nothing_is_asked_before() -> None:
    """Its events wait; then look-ups go on."""
    async with opened() as desk:
        desk.crm.status, desk.crm.headers = 503, {"Retry-After": "120"}
        with pytest.raises(ServiceUnavailable) as unavailable:
            await desk.found()
        assert (unavailable.value.after_s, desk.seen.waits) == (120, True)
        desk.crm.status = 0
        await desk.clock.turn(119)
        with pytest.raises(RetryLater):
            await desk.found("1")
        assert len(desk.crm.requests) == 1
        await desk.clock.turn(1)
        assert await desk.found() == {"name": "Acme"}
        assert not desk.seen.waits


async def test_slow_service_is_given_up_and_asked_again_after_a_pause() -> None:
    """Pauses grow."""
    async with opened(timeout_s=5) as desk:
        desk.crm.open.clear()
        finding = asyncio.ensure_future(desk.found())
        await until(lambda: desk.crm.requests)
        await desk.clock.turn(5)
        with pytest.raises(ServiceUnavailable, match="no answer within 5 s"):
            await finding
        desk.crm.open.set()
        await desk.clock.turn(1.1)
        assert await desk.found() == {"name": "Acme"}


async def test_refused_credentials_call_an_operator() -> None:
    """A key that was rotated must not turn events into dead letters."""
    async with opened() as desk:
        desk.crm.status = 401
        with pytest.raises(ServiceRefused, match="401"):
            await desk.found()


async def test_huge_answer_is_refused() -> None:
    """A mebibyte of it is read."""
    async with opened() as desk:
        desk.crm.status, desk.crm.text = 200, "[" + "1," * 2_000_000 + "1]"
        with pytest.raises(RecordsRefused, match="larger than 1 MiB"):
            await desk.found()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<html>Maintenance</html>", ServiceUnavailable),
        ('{"data": [1]}', RecordsRefused),
        ("[" * 100_000, ServiceUnavailable),
    ],
)
async def test_other_answer_than_a_record_is_no_record(text: str, error: type[Exception]) -> None:
    """A page of a proxy passes; an object of another shape needs another `result`."""
    async with opened() as desk:
        desk.crm.status, desk.crm.text = 200, text
        with pytest.raises(error):
            await desk.found()
