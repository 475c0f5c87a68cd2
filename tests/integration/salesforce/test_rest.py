"""The REST client against the sandbox."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from streamer.clock import TurnedClock
from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import AnswerTooLarge, RequestRefused, Rest
from streamer.sandbox.server import Sandbox
from tests import rest_server
from tests.streaming import org_at


@dataclass(kw_only=True)
class Desk:
    """A sandbox and a client of it."""

    sandbox: Sandbox
    rest: Rest


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A fresh org."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox, aiohttp.ClientSession() as http:
        tokens = Tokens(http, org_at(sandbox.url), clock)
        yield Desk(sandbox=sandbox, rest=Rest(http, tokens, clock))


def answering(status: int, body: Any, headers: dict[str, str]) -> AbstractAsyncContextManager[Rest]:
    """Return a client of a server that gives every request but the login the same answer."""

    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        return web.Response(status=status, text=text, headers=headers)

    return rest_server.answering(answer)


async def test_record_is_created_changed_read_and_deleted(desk: Desk) -> None:
    """The four verbs do what they do at Salesforce."""
    created = await desk.rest.post("sobjects/Account", {"Name": "Acme"})
    path = f"sobjects/Account/{created['id']}"
    assert await desk.rest.patch(path, {"Industry": "Energy"}) is None
    record = await desk.rest.retrieve("Account", created["id"], ["Name", "Industry"])
    assert (record["Name"], record["Industry"]) == ("Acme", "Energy")
    await desk.rest.delete(path)
    with pytest.raises(RequestRefused) as raised:
        await desk.rest.retrieve("Account", created["id"])
    assert raised.value.status == 404


async def test_query_follows_every_page(desk: Desk) -> None:
    """More records than one page holds come as one stream."""
    with desk.sandbox.org.transaction() as transaction:
        for number in range(2_005):
            transaction.create("Account", {"Name": f"Account {number}"})
    names = [record["Name"] async for record in desk.rest.query("SELECT Name FROM Account")]
    assert sorted(names) == sorted(f"Account {number}" for number in range(2_005))


async def test_expired_session_is_renewed_once(desk: Desk) -> None:
    """A 401 costs a login, and the caller notices nothing."""
    await desk.rest.limits()
    desk.sandbox.tokens.revoke_all()
    assert "DailyApiRequests" in await desk.rest.limits()
    assert len(desk.sandbox.tokens) == 1


async def test_answer_tells_which_share_of_the_days_requests_is_left(desk: Desk) -> None:
    """Refused requests count too, and a header of another form tells nothing."""
    assert desk.rest.requests_left is None
    await desk.rest.limits()
    with pytest.raises(RequestRefused):
        await desk.rest.get("nothing")
    assert desk.rest.requests_left == pytest.approx(0.99998)


@pytest.mark.parametrize(
    ("info", "left"), [("api-usage=90/100;per-app", 0.1), ("api-usage=101/100", 0.0), ("api-usage=1/0", None)]
)
async def test_share_that_is_left_is_never_negative(info: str, left: float | None) -> None:
    """An org can be allowed more than its limit for a while."""
    async with answering(200, {}, {"Sforce-Limit-Info": info}) as rest:
        await rest.limits()
    assert rest.requests_left == (None if left is None else pytest.approx(left))


@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
async def test_answer_tells_salesforces_clock(ahead_s: float) -> None:
    """An answer without a valid date leaves the last one."""
    headers = {"Date": formatdate(TurnedClock().now() + ahead_s, usegmt=True)}
    async with answering(200, {}, headers) as rest:
        assert rest.ahead_s == 0.0
        await rest.limits()
        headers["Date"] = "today"
        await rest.limits()
    assert rest.ahead_s == ahead_s


async def test_refused_query_tells_salesforces_code(desk: Desk) -> None:
    """The caller learns why Salesforce refused the request."""
    with pytest.raises(RequestRefused) as raised:
        await anext(desk.rest.query("SELECT FROM"))
    assert raised.value.code == "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("status", "body", "headers", "error", "after_s"),
    [
        (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "m"}], {}, RetryLater, None),
        (429, {}, {"Retry-After": "7"}, RetryLater, 7.0),
        (503, {}, {"Retry-After": "99999"}, SalesforceUnavailable, 3600.0),
        (500, [{"errorCode": "UNKNOWN_EXCEPTION"}], {"Retry-After": "soon"}, SalesforceUnavailable, None),
    ],
)
async def test_server_that_can_not_now_is_asked_later(
    status: int, body: Any, headers: dict[str, str], error: type[RetryLater], after_s: float | None
) -> None:
    """Limits and server errors pass."""
    async with answering(status, body, headers) as rest:
        with pytest.raises(error) as raised:
            await rest.get("limits")
    assert raised.value.after_s == after_s


async def test_new_token_that_is_refused_too_is_the_users_trouble() -> None:
    """A second 401 does not become a storm of logins."""
    async with answering(401, [{"errorCode": "INVALID_SESSION_ID", "message": "m"}], {}) as rest:
        with pytest.raises(CredentialsRefused, match="although the access token was new"):
            await rest.get("limits")


async def test_answer_of_countless_values_is_not_parsed() -> None:
    """A caller that can ask for less does so."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[" + b"{}," * 600_000 + b"{}]", content_type="application/json")

    async with rest_server.answering(answer) as rest:
        with pytest.raises(AnswerTooLarge, match="arrays and objects"):
            await rest.get("limits")


async def test_page_in_place_of_json_is_no_answer() -> None:
    """A proxy's page with status 200 is tried later."""
    async with answering(200, "<html>", {}) as rest:
        with pytest.raises(SalesforceUnavailable, match="is not JSON"):
            await rest.get("limits")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"name": "Account"},
        {"name": "Account", "fields": {}},
        {"name": "Account", "fields": ["Id"]},
        {"name": "Account", "fields": [{"type": "id"}]},
        {"name": ["Account"], "fields": []},
        {"name": "Contact", "fields": []},
    ],
)
async def test_answer_that_is_no_describe_is_no_answer(body: Any) -> None:
    """Fields that can't be told would be missing without a word."""
    async with answering(200, body, {}) as rest:
        with pytest.raises(SalesforceUnavailable, match="is not a describe of Account"):
            await RestRecords(rest).describe("Account")
