"""The client of the Tooling API against the sandbox, and against answers that the sandbox does not give."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError, StreamerError
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import Rest
from streamer.salesforce.tooling.changes import (
    ChangePlan,
    MemberOptions,
    adding,
    creating,
    deleting,
    disabling,
    enabling,
)
from streamer.salesforce.tooling.client import ChangeOutcome, Result, Tooling, execute
from streamer.salesforce.tooling.refusals import SetupRefused
from streamer.salesforce.tooling.setup import ChannelSetup
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User
from tests.streaming import org_at

DATA = "/services/data/v64.0"
ACCOUNT, CONTACT = "0v8000000000001AAA", "0v8000000000002AAA"


@dataclass(kw_only=True)
class Desk:
    """A sandbox and a client of it."""

    sandbox: Sandbox
    tooling: Tooling


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A fresh org, which selects nothing."""
    clock = TurnedClock()
    settings = SandboxSettings(org=OrgSetup(selected=frozenset()))
    async with Sandbox(clock, settings=settings) as sandbox, aiohttp.ClientSession() as http:
        rest = Rest(http, Tokens(http, org_at(sandbox.url), clock), clock)
        yield Desk(sandbox=sandbox, tooling=Tooling(rest, api_version="64.0"))


async def executed(tooling: Tooling, plan: ChangePlan) -> list[ChangeOutcome]:
    """Carry a plan out and return its outcomes."""
    return [outcome async for outcome in execute(tooling, plan)]


async def test_plans_are_carried_out(desk: Desk) -> None:
    """A channel with a member, which is changed, and deleted with its channel."""
    tooling = desk.tooling
    options = MemberOptions(filter="Industry = 'Energy'", enriched=("Name", "Rating"))
    for plan in (
        lambda setup: creating(setup, "Erp__chn", "data", "ERP"),
        lambda setup: adding(setup, "Erp__chn", "Account", options),
        lambda setup: adding(setup, "Erp__chn", "Account", MemberOptions(enriched=("Rating",))),
        lambda setup: enabling(setup, ["Account", "Invoice__c"]),
    ):
        outcomes = await executed(tooling, plan(await tooling.setup()))
        assert {each.result for each in outcomes} == {Result.MADE}
    setup = await tooling.setup()
    (found,) = setup.of("Erp__chn")
    assert (found.entity, found.filter, found.enriched) == ("Account", "Industry = 'Energy'", ("Rating",))
    assert [each.entity for each in setup.of("ChangeEvents")] == ["Account", "Invoice__c"]
    assert [(each.name, each.kind, each.label) for each in setup.channels] == [("Erp__chn", "data", "ERP")]
    for undone in (deleting(setup, "Erp__chn"), disabling(setup, ["Account", "Invoice__c"])):
        await executed(tooling, undone)
    assert (await tooling.setup()).members == ()


async def test_refusal_of_one_leaves_the_others(desk: Desk) -> None:
    """Each has its own outcome."""
    plan = enabling(await desk.tooling.setup(), ["Account", "Nope", "Contact"])
    outcomes = await executed(desk.tooling, plan)
    assert [each.result for each in outcomes] == [Result.MADE, Result.NOT_MADE, Result.MADE]
    assert "check the names" in outcomes[1].reason
    assert (await desk.tooling.setup()).entities == {"Account", "Contact"}


async def test_missing_permission_is_asked_about_once(desk: Desk) -> None:
    """Every other change would be refused as well."""
    username = desk.sandbox.org.settings.username
    desk.sandbox.users.put(User.model_validate({"username": username, "setup": "view"}))
    outcomes = await executed(desk.tooling, enabling(await desk.tooling.setup(), ["Account", "Contact"]))
    assert [each.result for each in outcomes] == [Result.NOT_MADE, Result.NOT_TRIED]
    assert "Customize Application" in outcomes[0].reason
    desk.sandbox.users.put(User.model_validate({"username": username, "setup": "none"}))
    with pytest.raises(SetupRefused, match="View Setup and Configuration"):
        await desk.tooling.setup()


async def test_what_another_operator_did_meanwhile_is_done(desk: Desk) -> None:
    """A selection that exists, and a deletion of what is gone."""
    stale = await desk.tooling.setup()
    await executed(desk.tooling, enabling(stale, ["Account"]))
    (again,) = await executed(desk.tooling, enabling(stale, ["Account"]))
    selected = await desk.tooling.setup()
    await executed(desk.tooling, disabling(selected, ["Account"]))
    (gone,) = await executed(desk.tooling, disabling(selected, ["Account"]))
    assert (again.result, gone.result) == (Result.MADE, Result.MADE)


Answer = Callable[[web.Request], Any]


@asynccontextmanager
async def answering(answer: Answer, *, api_version: str = "64.0") -> AsyncIterator[Tooling]:
    """Yield a client of a server that gives every request but the login the JSON of `answer`, or drops it."""

    async def login(request: web.Request) -> web.StreamResponse:
        url = f"http://localhost:{request.url.port}"
        identity = f"{url}/id/00D000000000001EAA/005000000000001AAA"
        return web.json_response({"access_token": "T", "instance_url": url, "id": identity})

    async def handle(request: web.Request) -> web.StreamResponse:
        found = answer(request)
        if found is None and request.transport is not None:
            request.transport.close()
        return web.json_response(found)

    app = web.Application()
    app.router.add_post("/services/oauth2/token", login)
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        clock = TurnedClock()
        tokens = Tokens(http, org_at(f"http://localhost:{server.port}"), clock)
        yield Tooling(Rest(http, tokens, clock, api_version=api_version), api_version=api_version)


def member(record_id: str, selected: str, channel: str = "ChangeEvents") -> dict[str, Any]:
    """Return the row of a member."""
    return {"Id": record_id, "EventChannel": channel, "SelectedEntity": selected, "DeveloperName": "X"}


async def test_ids_are_resolved_by_the_metadata() -> None:
    """Of a platform event and a custom field, which a query names by their ids."""

    def answer(request: web.Request) -> Any:
        soql = request.query.get("q", "")
        if "EnrichedField" in soql:
            rows = [{"ChannelMemberId": CONTACT, "Field": "00NRM000001gEx32AE"}]
        elif "Member" in soql:
            rows = [
                member(ACCOUNT, "01IRM000001gEx32AE", "0YL000000000001"),
                member(CONTACT, "ContactChangeEvent"),
            ]
        elif soql:
            rows = [{"Id": "0YL000000000001AAA", "DeveloperName": "Orders", "ChannelType": "event"}]
        elif request.path.endswith(ACCOUNT):
            return {"Metadata": {"selectedEntity": "Order_Placed__e", "enrichedFields": None}}
        else:
            return {
                "Metadata": {"selectedEntity": "ContactChangeEvent", "enrichedFields": [{"name": "Key__c"}]}
            }
        return {"done": True, "records": rows}

    async with answering(answer) as tooling:
        order, contact = (await tooling.setup()).members
    assert (order.channel, order.selected, order.enriched) == ("Orders__chn", "Order_Placed__e", ())
    assert contact.enriched == ("Key__c",)


async def test_pages_are_followed_and_packages_have_their_prefix() -> None:
    """A page names the next one."""

    def answer(request: web.Request) -> Any:
        soql = request.query.get("q", "")
        if soql.endswith("FROM PlatformEventChannel"):
            rows = [{"Id": "0YL1", "DeveloperName": "Erp", "NamespacePrefix": "acme", "ChannelType": "data"}]
            return {"done": False, "nextRecordsUrl": f"{DATA}/tooling/query/01g-1", "records": rows}
        if request.path.endswith("01g-1"):
            return {"done": True, "records": [{"Id": "0YL2", "DeveloperName": "Own", "ChannelType": "data"}]}
        return {"done": True, "records": []}

    async with answering(answer) as tooling:
        setup = await tooling.setup()
    assert [each.name for each in setup.channels] == ["acme__Erp__chn", "Own__chn"]


@pytest.mark.parametrize(("is_there", "result"), [(True, Result.MADE), (False, Result.NOT_MADE)])
async def test_lost_answer_is_looked_up(result: Result, *, is_there: bool) -> None:
    """The change can have been made; the setup tells."""

    def answer(request: web.Request) -> Any:
        if request.method == "POST":
            return None
        found = is_there and "PlatformEventChannelMember" in request.query["q"]
        return {"done": True, "records": [member(ACCOUNT, "AccountChangeEvent")] if found else []}

    async with answering(answer) as tooling:
        plan = enabling(ChannelSetup(), ["Account", "Contact"])
        first, second = await executed(tooling, plan)
    assert (first.result, second.result) == (result, Result.NOT_TRIED)


async def test_lost_answer_of_an_org_that_is_away_stays_uncertain() -> None:
    """An operator has to look."""
    is_away = False

    def answer(request: web.Request) -> Any:
        nonlocal is_away
        is_away = is_away or request.method == "POST"
        return None if is_away else {"done": True, "records": []}

    async with answering(answer) as tooling:
        (outcome,) = await executed(tooling, enabling(await tooling.setup(), ["Account"]))
    assert outcome.result is Result.UNCERTAIN


@pytest.mark.parametrize(
    "answer",
    [[], "text", {"records": [{"Id": 1, "EventChannel": [], "SelectedEntity": {}}]}, {"records": None}, {}],
)
async def test_answer_of_another_shape_is_no_traceback(answer: Any) -> None:
    """Whatever stands there."""
    async with answering(lambda _: answer) as tooling:
        with suppress(StreamerError):
            await tooling.setup()


async def test_failure_inside_a_success_is_a_refusal() -> None:
    """An answer of 200 whose body says that nothing was saved."""
    failed = {"success": False, "errors": [{"statusCode": "LIMIT_EXCEEDED", "message": "too many"}]}

    def answer(request: web.Request) -> Any:
        return failed if request.method == "POST" else {"done": True, "records": []}

    async with answering(answer) as tooling:
        (outcome,) = await executed(tooling, enabling(await tooling.setup(), ["Account"]))
    assert (outcome.result, "5 entities" in outcome.reason) == (Result.NOT_MADE, True)


async def test_old_version_lacks_filters_and_fields() -> None:
    """It is told before the plan is confirmed; queries name no column that it lacks."""
    asked: list[str] = []

    def answer(request: web.Request) -> Any:
        asked.append(request.query["q"])
        return {"done": True, "records": []}

    async with answering(answer, api_version="50.0") as tooling:
        setup = await tooling.setup()
        for options in (MemberOptions(filter="Name = 'A'"), MemberOptions(enriched=("Name",))):
            (change,) = adding(setup, "ChangeEvents", "Account", options).changes
            with pytest.raises(ConfigurationError, match=r"org\.api_version is 50\.0"):
                tooling.check(change)
    assert not any("FilterExpression" in each or "EnrichedField" in each for each in asked)
    with pytest.raises(ConfigurationError, match=r"since version 47\.0"):
        async with answering(answer, api_version="46.0"):
            pass
