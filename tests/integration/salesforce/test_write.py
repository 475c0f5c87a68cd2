"""Records are written to the sandbox through sObject Collections, and its Apex methods called."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import SystemClock
from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable
from streamer.ports import (
    Answered,
    ApexRestCall,
    ApexSoapCall,
    OrgWriter,
    Unanswered,
    WriteKind,
    WriteOperation,
    WriteRefused,
    WriteResult,
    Written,
)
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.sandbox import (
    ApexAnswer,
    ApexCall,
    ApexException,
    OrgSetup,
    Sandbox,
    SandboxSettings,
    parse_schema,
)
from streamer.settings import OrgSettings as Settings
from tests.streaming import APP

CLIENT = "acme-bus"
INVOICE = {
    "Number__c": {"type": "string", "length": 20, "external_id": True, "unique": True},
    "Amount__c": {"type": "currency", "precision": 18, "scale": 2},
    "Status__c": {"type": "picklist", "values": ["Draft", "Sent"]},
}
UPDATE = WriteOperation(kind=WriteKind.UPDATE, sobject="Account")
CREATE = WriteOperation(kind=WriteKind.CREATE, sobject="Account")
DELETE = WriteOperation(kind=WriteKind.DELETE, sobject="Account")
UPSERT = WriteOperation(kind=WriteKind.UPSERT, sobject="Invoice__c", external_id="Number__c")


@dataclass(frozen=True, kw_only=True)
class World:
    """A sandbox, and a writer into its org."""

    sandbox: Sandbox
    writer: OrgWriter

    def accounts(self, count: int) -> list[str]:
        """Create accounts and return their ids."""
        with self.sandbox.org.transaction() as transaction:
            return [transaction.create("Account", {"Name": f"No {number}"}) for number in range(count)]

    def field(self, record_id: str, name: str, of: str = "Account") -> Any:
        """Return a field of a record."""
        return self.sandbox.org.retrieve(of, record_id).get(name)

    @property
    def origins(self) -> list[str]:
        """Return the origins of the changes so far."""
        messages = [orjson.loads(each.data) for each in self.sandbox.bus.after("/data/ChangeEvents", 0)]
        return [message["payload"]["ChangeEventHeader"]["changeOrigin"] for message in messages]

    async def write(self, operation: WriteOperation, *records: dict[str, Any]) -> list[WriteResult]:
        """Write records."""
        return list(await self.writer.write(operation, records))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An org with declared invoices."""
    async with serving() as running:
        yield running


@asynccontextmanager
async def serving() -> AsyncIterator[World]:
    """Serve an org, and write into it."""
    org = OrgSetup(schema=parse_schema({"objects": {"Invoice__c": {"fields": INVOICE}}}))
    clock = SystemClock()
    async with Sandbox(clock, settings=SandboxSettings(org=org)) as sandbox:
        settings = Settings(login_url=sandbox.url, auth=APP, client_name=CLIENT)
        access = OrgAccess(settings=settings, clock=clock, logins=Logins(clock))
        async with access.writer(timeout_s=30) as writer:
            yield World(sandbox=sandbox, writer=writer)


def calls(world: World) -> int:
    """Return how many REST calls there were."""
    return world.sandbox.org.usage.api_requests.total


async def test_records_are_written_under_the_name_of_the_client(world: World) -> None:
    """Whatever is done with them; the origin of each change tells it."""
    [created] = await world.write(CREATE, {"Name": "Acme"})
    assert isinstance(created, Written)
    assert await world.write(UPDATE, {"Id": created.record_id, "Industry": "Energy"}) == [
        Written(record_id=created.record_id)
    ]
    [new] = await world.write(UPSERT, {"Number__c": "7", "Amount__c": Decimal("12.50")})
    assert isinstance(new, Written)
    assert new.created
    assert await world.write(UPSERT, {"Number__c": "7", "Status__c": "Sent"}) == [
        Written(record_id=new.record_id, created=False)
    ]
    assert world.field(created.record_id, "Industry") == "Energy"
    assert await world.write(DELETE, {"Id": created.record_id}) == [Written(record_id=created.record_id)]
    assert set(world.origins) == {f"com/salesforce/api/rest/64.0;client={CLIENT}"}


async def test_many_records_go_in_calls_of_two_hundred(world: World) -> None:
    """In their order, each with its result."""
    ids = world.accounts(401)
    results = await world.write(UPDATE, *({"Id": each, "Phone": each[-5:]} for each in ids))

    assert results == [Written(record_id=each) for each in ids]
    assert all(world.field(each, "Phone") == each[-5:] for each in ids)
    assert calls(world) == 3


async def test_changes_of_one_record_go_in_successive_calls(world: World) -> None:
    """Salesforce refuses an external id that comes twice in one call; the last change wins."""
    [account] = world.accounts(1)
    phones = [{"Id": account[: 18 - number % 2 * 3], "Phone": str(number)} for number in range(20)]
    assert len([each for each in await world.write(UPDATE, *phones) if isinstance(each, Written)]) == 20
    assert world.field(account, "Phone") == "19"

    results = await world.write(
        UPSERT, {"Number__c": "a"}, {"Number__c": "b"}, {"Number__c": "A", "Status__c": "Sent"}
    )
    assert [each.created for each in results if isinstance(each, Written)] == [True, True, False]


async def test_refused_record_leaves_the_others(world: World) -> None:
    """Its result has Salesforce's code and words."""
    [first, second] = world.accounts(2)
    world.sandbox.faults.arm("refuse_record", {"type": "Account"})
    results = await world.write(UPDATE, {"Id": first, "Phone": "1"}, {"Id": second, "Phone": "2"})

    assert results == [
        WriteRefused(code="UNABLE_TO_LOCK_ROW", message="unable to obtain exclusive access to this record"),
        Written(record_id=second),
    ]


async def test_record_that_spoils_its_call_is_found(world: World) -> None:
    """A value of another type refuses the call as a whole; the calls after it are of halves."""
    ids = world.accounts(20)
    records: list[dict[str, Any]] = [{"Id": each, "NumberOfEmployees": 1} for each in ids]
    records[13]["NumberOfEmployees"] = "many"
    results = await world.write(UPDATE, *records)

    assert [number for number, each in enumerate(results) if not isinstance(each, Written)] == [13]
    assert isinstance(results[13], WriteRefused)
    assert results[13].code == "JSON_PARSER_ERROR"
    assert calls(world) <= 11


async def test_call_that_is_too_much_for_the_triggers_is_made_in_halves(world: World) -> None:
    """Each record alone is within Apex's limits."""
    ids = world.accounts(4)
    fault = {
        "code": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "message": "System.LimitException: 101",
        "times": 6,
    }
    world.sandbox.faults.arm("refuse_record", fault)
    results = await world.write(UPDATE, *({"Id": each, "Phone": "1"} for each in ids))

    assert results == [Written(record_id=each) for each in ids]
    assert calls(world) == 5


async def test_what_is_no_json_is_not_sent(world: World) -> None:
    """And keeps nothing else from being sent."""
    results = await world.write(CREATE, {"Name": object()}, {"Name": "Acme"})

    assert isinstance(results[0], WriteRefused)
    assert not results[0].sent
    assert isinstance(results[1], Written)


async def test_argument_that_is_no_xml_costs_no_login() -> None:
    """Whatever the login would say, the argument is what is wrong: here, no org would answer it."""
    clock = SystemClock()
    nowhere = Settings(login_url="http://localhost:1", auth=APP)
    access = OrgAccess(settings=nowhere, clock=clock, logins=Logins(clock))
    async with access.writer(timeout_s=30) as writer:
        call = ApexSoapCall(apex_class="A", method="m", arguments={"a": "\x00"})
        result = await writer.call(call)

    assert isinstance(result, WriteRefused)
    assert (result.code, result.sent) == ("UNWRITABLE", False)


async def test_expired_token_is_renewed(world: World) -> None:
    """Once, for the records of a call."""
    [account] = world.accounts(1)
    await world.write(UPDATE, {"Id": account, "Phone": "1"})
    world.sandbox.tokens.revoke_all()

    assert await world.write(UPDATE, {"Id": account, "Phone": "2"}) == [Written(record_id=account)]
    assert await world.writer.user() == world.sandbox.org.settings.user_id


async def test_lost_answer_leaves_the_rest_unsent(world: World) -> None:
    """The records that were sent are written all the same."""
    ids = world.accounts(201)
    world.sandbox.faults.arm("lose_answer", {})
    results = await world.write(UPDATE, *({"Id": each, "Phone": "1"} for each in ids))

    errors = [each.error for each in results if isinstance(each, Unanswered)]
    assert [type(each) for each in errors] == [SalesforceUnavailable] * 201
    assert (world.field(ids[0], "Phone"), world.field(ids[200], "Phone")) == ("1", None)


async def test_used_up_requests_are_no_refusal_of_a_record(world: World) -> None:
    """They come back later."""
    [account] = world.accounts(1)
    world.sandbox.faults.arm("refuse_call", {})
    [result] = await world.write(UPDATE, {"Id": account, "Phone": "1"})

    assert isinstance(result, Unanswered)
    assert type(result.error) is RetryLater


async def test_operation_that_the_org_does_not_know_is_a_general_refusal(world: World) -> None:
    """An external id field that does not exist, for one."""
    nowhere = WriteOperation(kind=WriteKind.UPSERT, sobject="Invoice__c", external_id="Nothing__c")
    [result] = await world.write(nowhere, {"Nothing__c": "7"})

    assert isinstance(result, WriteRefused)
    assert (result.code, result.is_general) == ("NOT_FOUND", True)


def confirmed(call: ApexCall) -> Any:
    """Note the number of an invoice in its account."""
    with call.transaction() as transaction:
        transaction.update("Account", call.arguments["account"], {"Phone": call.arguments["number"]})
    return {"confirmed": call.arguments["number"], "lines": ["1", "2"]}


async def test_rest_method_answers_in_json(world: World) -> None:
    """Its path, its query and its body arrive as they are."""
    [account] = world.accounts(1)
    world.sandbox.apex.rest("POST", "/invoices/*", confirmed)
    call = ApexRestCall(
        method="POST", path="invoices/a%2Fb", query={"q": "1&2"}, body={"account": account, "number": "7"}
    )
    sent: list[bool] = []
    result = await world.writer.call(call, on_sent=lambda: sent.append(True))

    assert result == Answered(value={"confirmed": "7", "lines": ["1", "2"]})
    [heard] = world.sandbox.apex.calls
    assert (heard.path, heard.query, heard.client) == ("/invoices/a/b", {"q": "1&2"}, CLIENT)
    assert sent == [True]


async def test_soap_method_answers_in_texts(world: World) -> None:
    """Objects, lists and nothing have their places in the envelope."""
    [account] = world.accounts(1)
    world.sandbox.apex.soap("acme/Invoices", "confirm", confirmed)
    arguments = {"account": account, "number": "<7>", "lines": [1, 2], "who": {"vip": True, "name": None}}
    result = await world.writer.call(
        ApexSoapCall(apex_class="acme/Invoices", method="confirm", arguments=arguments)
    )

    assert result == Answered(value={"confirmed": "<7>", "lines": ["1", "2"]})
    [heard] = world.sandbox.apex.calls
    assert heard.arguments == {
        "account": account,
        "number": "<7>",
        "lines": ["1", "2"],
        "who": {"vip": "true", "name": None},
    }
    assert world.origins[-1].endswith(f";client={CLIENT}")


def thrown(_: ApexCall) -> Any:
    """Throw."""
    raise ApexException("System.DmlException: the period is closed")


async def test_refusal_of_a_method_has_its_words(world: World) -> None:
    """An exception, a status of its own, and a method that does not exist."""
    apex = world.sandbox.apex
    apex.rest("POST", "/thrown", thrown)
    apex.rest("POST", "/closed", lambda _: ApexAnswer(status=409, body={"reason": "closed"}))
    apex.rest("POST", "/missing", lambda _: ApexAnswer(status=404, body={"reason": "no such invoice"}))
    apex.soap("Invoices", "thrown", thrown)
    results = [
        await world.writer.call(call)
        for call in (
            ApexRestCall(method="POST", path="thrown", body={}),
            ApexRestCall(method="POST", path="closed", body={}),
            ApexRestCall(method="POST", path="missing", body={}),
            ApexRestCall(method="POST", path="nowhere", body={}),
            ApexSoapCall(apex_class="Invoices", method="thrown", arguments={}),
        )
    ]

    found = [each for each in results if isinstance(each, WriteRefused)]
    assert [(each.code, each.is_general) for each in found] == [
        ("APEX_ERROR", False),
        ("HTTP_409", False),
        ("HTTP_404", False),
        ("NOT_FOUND", True),
        ("Client", False),
    ]
    assert "the period is closed" in found[0].message
    assert found[1].answer == '{"reason":"closed"}'
    assert "the period is closed" in found[4].message


async def test_ended_session_is_renewed_for_a_method(world: World) -> None:
    """Over REST with 401, over SOAP with a fault."""
    world.sandbox.apex.rest("GET", "/ping", lambda _: "pong")
    world.sandbox.apex.soap("Ping", "ping", lambda _: "pong")
    for call in (
        ApexRestCall(method="GET", path="ping"),
        ApexSoapCall(apex_class="Ping", method="ping", arguments={}),
    ):
        world.sandbox.tokens.revoke_all()
        assert await world.writer.call(call) == Answered(value="pong")


SESSION_ENDED = "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session"


async def test_session_that_stays_refused_is_told_as_it_is_over_soap() -> None:
    """As over REST: nothing is wrong with what was to be sent."""
    fault = f"<faultcode>sf:INVALID_SESSION_ID</faultcode><faultstring>{SESSION_ENDED}</faultstring>"
    envelope = f"<Envelope><Body><Fault>{fault}</Fault></Body></Envelope>"
    async with answering(envelope.encode(), 500) as writer:
        result = await writer.call(ApexSoapCall(apex_class="Ping", method="ping", arguments={}))

    assert isinstance(result, Unanswered)
    assert isinstance(result.error, CredentialsRefused)
    assert "refused with HTTP 500 INVALID_SESSION_ID: Invalid" in str(result.error)


async def test_exception_that_quotes_an_ended_session_calls_the_method_once(world: World) -> None:
    """The session of a call that the method itself made, for one; the method may have done its work."""

    def quoting(_: ApexCall) -> Any:
        raise ApexException(f"System.CalloutException: {SESSION_ENDED}")

    world.sandbox.apex.soap("Ping", "ping", quoting)
    result = await world.writer.call(ApexSoapCall(apex_class="Ping", method="ping", arguments={}))

    assert isinstance(result, WriteRefused)
    assert (result.code, len(world.sandbox.apex.calls)) == ("Client", 1)


async def test_refused_login_is_told_as_it_is() -> None:
    """By writes and by calls."""
    clock = SystemClock()
    async with Sandbox(clock) as sandbox:
        wrong = APP.model_copy(update={"client_id": "nobody"})
        access = OrgAccess(
            settings=Settings(login_url=sandbox.url, auth=wrong), clock=clock, logins=Logins(clock)
        )
        async with access.writer(timeout_s=30) as writer:
            results = [
                *await writer.write(CREATE, [{"Name": "Acme"}]),
                await writer.call(ApexRestCall(method="GET", path="ping")),
            ]
    assert [type(each.error) for each in results if isinstance(each, Unanswered)] == [CredentialsRefused] * 2


@asynccontextmanager
async def answering(body: bytes, status: int = 200) -> AsyncIterator[OrgWriter]:
    """Give a writer into an org that gives every request but the login the same answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/services/oauth2/token":
            return web.Response(body=body, status=status)
        url = f"http://localhost:{request.url.port}"
        identity = f"{url}/id/00D000000000001EAA/005000000000001AAA"
        return web.json_response({"access_token": "T", "instance_url": url, "id": identity})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    clock = SystemClock()
    async with TestServer(app) as server:
        settings = Settings(login_url=f"http://localhost:{server.port}", auth=APP)
        access = OrgAccess(settings=settings, clock=clock, logins=Logins(clock))
        async with access.writer(timeout_s=30) as writer:
            yield writer


NOTHING = b'{"success": true}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"{}",
        b"[]",
        b"[1, 2]",
        b"[" + NOTHING + b"]",
        b"[" + NOTHING + b"," + NOTHING + b"," + NOTHING + b"]",
        b'[{"success": false}, {"success": false, "errors": [1]}]',
        b'[{"success": "true"}, {"success": null, "errors": {}}]',
        b"[" * 2_000,
        b"x" * 5_000_000,
    ],
)
async def test_answer_that_is_none_leaves_it_open(body: bytes) -> None:
    """Whatever bytes come, each record has a result, and none counts as written."""
    async with answering(body) as writer:
        results = await writer.write(UPDATE, [{"Id": "001"}, {"Id": "002"}])
        called = await writer.call(ApexSoapCall(apex_class="A", method="m", arguments={}))

    assert [type(each) for each in results] == [Unanswered] * 2
    assert isinstance(called, Unanswered)


async def test_result_with_odd_members_is_read_as_far_as_it_goes() -> None:
    """A record that is written is not written again."""
    body = (
        b'[{"success": true, "id": 7, "created": "no"}, {"success": false, "errors": [{"message": ["m"]}]}]'
    )
    async with answering(body) as writer:
        results = await writer.write(UPDATE, [{"Id": "001"}, {"Id": "002"}])

    assert results == [Written(record_id="001"), WriteRefused(code="", message="['m']")]
