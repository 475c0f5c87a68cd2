"""A user with few rights, in REST, in queries and on channels."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings, User
from streamer.sandbox.org.refusals import Refused
from tests.integration.sandbox.conftest import Client

READER = {
    "username": "reader@acme.example",
    "name": "Ida Reader",
    "password": "reader-password",
    "client_id": "reader",
    "client_secret": "reader-secret",
    "objects": {
        "Account": ["read", "view_all"],
        "Contact": ["create", "edit"],
        "Opportunity": ["delete"],
        "Paid__e": ["read"],
    },
    "hidden_fields": ["Account.Phone", "Account.BillingCity", "Account.Secret__c"],
    "read_only_fields": ["Contact.Email"],
}
CLIENT = {"grant_type": "client_credentials", "client_id": "reader", "client_secret": "reader-secret"}
PASSWORD = {
    "grant_type": "password",
    "client_id": "sandbox",
    "client_secret": "sandbox-secret",
    "username": "Reader@acme.example",
    "password": "reader-passwordTOKEN",
}


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An org with one account, and a user who may do little."""
    settings = SandboxSettings(users=(User.model_validate(READER),))
    async with Sandbox(clock, settings=settings) as running:
        with running.org.transaction() as transaction:
            transaction.create(
                "Account", {"Name": "Acme", "Phone": "1", "BillingCity": "Oslo", "Secret__c": "s"}
            )
            transaction.create("Lead", {"LastName": "Berg", "Company": "Acme"})
        yield running


@pytest.fixture
async def reader(sandbox: Sandbox) -> AsyncIterator[Client]:
    """The user, logged in with client credentials."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(sandbox.url))
        async with http.post("/services/oauth2/token", data=CLIENT) as response:
            token = (await response.json())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        http = await stack.enter_async_context(aiohttp.ClientSession(sandbox.url, headers=headers))
        yield Client(http=http, sandbox=sandbox)


async def codes(client: Client, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Return the status and the error code of a refused call."""
    status, answer = await client(method, path, body)
    return status, answer[0]["errorCode"]


async def account_id(sandbox: Sandbox) -> str:
    """Return the id of the account."""
    [account] = sandbox.org.records.all(sandbox.org.schema.entity("Account"))
    return str(account["Id"])


@pytest.mark.parametrize("form", [CLIENT, PASSWORD], ids=["client-credentials", "password"])
async def test_each_user_logs_in(client: Client, sandbox: Sandbox, form: dict[str, str]) -> None:
    """The token is that user's, in what it creates too."""
    async with client.http.post("/services/oauth2/token", data=form) as response:
        token = (await response.json())["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    _, about = await client("GET", "/services/oauth2/userinfo", headers=headers)
    assert (about["preferred_username"], about["name"]) == ("reader@acme.example", "Ida Reader")
    _, contact = await client("POST", "sobjects/Contact", {"LastName": "Berg"}, headers=headers)
    assert sandbox.org.retrieve("Contact", contact["id"])["CreatedById"] == about["user_id"]


async def test_a_users_own_password_is_the_only_one(client: Client) -> None:
    """Only users without a password have the sandbox's."""
    form = {**PASSWORD, "password": "sandbox-password"}
    async with client.http.post("/services/oauth2/token", data=form) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_grant")


async def test_a_type_without_permission_does_not_exist(reader: Client) -> None:
    """In the list of types, in describes, in queries and in calls."""
    _, described = await reader("GET", "sobjects")
    names = {each["name"] for each in described["sobjects"]}
    assert {"Account", "AccountChangeEvent", "User"} <= names
    assert not {"Lead", "LeadChangeEvent"} & names
    assert await codes(reader, "GET", "sobjects/Lead/describe") == (404, "NOT_FOUND")
    assert await codes(reader, "GET", "sobjects/LeadChangeEvent/describe") == (404, "NOT_FOUND")
    assert await codes(reader, "GET", "query?q=SELECT Id FROM Lead") == (400, "INVALID_TYPE")
    body = {"LastName": "Aas", "Company": "Bolt"}
    assert await codes(reader, "POST", "sobjects/Lead", body) == (404, "NOT_FOUND")


async def test_a_hidden_field_does_not_exist(reader: Client, sandbox: Sandbox) -> None:
    """In the describe, in the record, in queries and in writes."""
    _, described = await reader("GET", "sobjects/Account/describe")
    names = {field["name"] for field in described["fields"]}
    assert ("Fax" in names, names & {"Phone", "BillingCity"}) == (True, set())
    _, record = await reader("GET", f"sobjects/Account/{await account_id(sandbox)}")
    assert ("Phone" in record, "city" in (record["BillingAddress"] or {})) == (False, False)
    for text in (
        "Phone FROM Account",
        "Secret__c FROM Account",
        "Account.Phone FROM Contact",
        "Id FROM Account WHERE phone = '1'",
    ):
        assert await codes(reader, "GET", f"query?q=SELECT {text}") == (400, "INVALID_FIELD")
    assert await codes(reader, "GET", "query?q=SELECT SUM(Phone) FROM Account") == (400, "INVALID_FIELD")
    _, every = await reader("GET", "query?q=SELECT FIELDS(ALL) FROM Account LIMIT 1")
    assert "Phone" not in every["records"][0]


async def test_a_read_only_field_is_not_written(reader: Client) -> None:
    """Its describe says so."""
    contact = {"LastName": "Berg", "Email": "berg@acme.example"}
    refused = (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    assert await codes(reader, "POST", "sobjects/Contact", contact) == refused
    _, described = await reader("GET", "sobjects/Contact/describe")
    permitted = {field["name"]: field["updateable"] for field in described["fields"]}
    assert (permitted["Email"], permitted["LastName"]) == (False, True)


async def test_pages_of_a_query_are_those_of_its_user(reader: Client, client: Client) -> None:
    """Another user's locator is unknown."""
    await client("POST", "/sandbox/changes", {"count": 300})
    text, small = "query?q=SELECT Phone FROM Account", {"Sforce-Query-Options": "batchSize=200"}
    _, first = await client("GET", text, headers=small)
    assert (await client("GET", first["nextRecordsUrl"]))[1]["done"] is True
    assert await codes(reader, "GET", first["nextRecordsUrl"]) == (400, "INVALID_QUERY_LOCATOR")


async def test_an_operation_without_permission_is_forbidden(reader: Client, sandbox: Sandbox) -> None:
    """Describes say so beforehand."""
    account = f"sobjects/Account/{await account_id(sandbox)}"
    assert await codes(reader, "PATCH", account, {"Fax": "1"}) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert await codes(reader, "DELETE", account) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
    assert await codes(reader, "POST", "sobjects/Account", {"Name": "B"}) == (403, "INSUFFICIENT_ACCESS")
    assert await codes(reader, "POST", "sobjects/Paid__e", {"A__c": 1}) == (403, "INSUFFICIENT_ACCESS")
    _, described = await reader("GET", "sobjects/Account")
    summary = described["objectDescribe"]
    assert (summary["createable"], summary["updateable"], summary["queryable"]) == (False, False, True)


async def test_whoever_deletes_a_parent_needs_no_right_on_its_children(
    reader: Client, sandbox: Sandbox
) -> None:
    """They go with it, though the user can't even see them."""
    with sandbox.org.transaction() as transaction:
        fields = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2025-02-01"}
        deal = transaction.create("Opportunity", fields)
        item = transaction.create("OpportunityLineItem", {"OpportunityId": deal})
    assert (await reader("DELETE", f"sobjects/Opportunity/{deal}"))[0] == 204
    with pytest.raises(Refused, match="entity is deleted"):
        sandbox.org.retrieve("OpportunityLineItem", item)


async def test_an_id_of_a_hidden_type_belongs_to_none(reader: Client, sandbox: Sandbox) -> None:
    """A collection finds the type by the id."""
    [lead] = sandbox.org.records.all(sandbox.org.schema.entity("Lead"))
    _, [result] = await reader("DELETE", f"composite/sobjects?ids={lead['Id']}")
    assert result["errors"][0]["statusCode"] == "MALFORMED_ID"


async def test_a_collection_states_the_refusal_of_each_record(reader: Client) -> None:
    """As it does with other refusals."""
    records = [
        {"attributes": {"type": "Account"}, "Name": "Bolt"},
        {"attributes": {"type": "Contact"}, "LastName": "Berg"},
    ]
    _, results = await reader("POST", "composite/sobjects", {"records": records})
    assert [result["success"] for result in results] == [False, True]
    assert results[0]["errors"][0]["statusCode"] == "INSUFFICIENT_ACCESS"


async def streamed(client: Client, subscription: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Shake hands, subscribe to all retained events and return the reply and the events."""

    async def send(channel: str, **more: Any) -> list[dict[str, Any]]:
        messages = [{"channel": f"/meta/{channel}", "id": "1", **more}]
        _, received = await client("POST", "/cometd/66.0", messages)
        return list(received)

    types = {"supportedConnectionTypes": ["long-polling"]}
    [hello] = await send("handshake", version="1.0", **types)
    session = {"clientId": hello["clientId"]}
    replay = {"replay": {subscription: -2}}
    [reply] = await send("subscribe", **session, subscription=subscription, ext=replay)
    received = await send("connect", **session, connectionType="long-polling")
    return reply, [message["data"]["payload"] for message in received if "data" in message]


async def test_a_channel_without_permission_is_refused(reader: Client) -> None:
    """With the text that Salesforce has for changes."""
    reply, events = await streamed(reader, "/data/LeadChangeEvent")
    assert reply["error"] == "403::User not allowed to subscribe CDC without View All Data permissions"
    assert events == []


async def test_a_channel_shows_what_the_user_can_see(reader: Client, client: Client) -> None:
    """Another user gets the same events whole."""
    _, events = await streamed(reader, "/data/ChangeEvents")
    _, whole = await streamed(client, "/data/ChangeEvents")
    assert [event["ChangeEventHeader"]["entityName"] for event in events] == ["Account"]
    assert ("Phone" in events[0], "Phone" in whole[0]) == (False, True)
    assert [event["ChangeEventHeader"]["entityName"] for event in whole] == ["Account", "Lead"]


async def test_permissions_change_at_once_in_rest(reader: Client, client: Client) -> None:
    """The control API replaces a user."""
    entry = {key: value for key, value in READER.items() if key not in {"username", "objects"}}
    path = "/sandbox/users/reader@acme.example"
    assert (await client("PUT", path, {**entry, "objects": {"Lead": ["read"]}}))[0] == 200
    assert (await reader("GET", "query?q=SELECT Id FROM Lead"))[1]["totalSize"] == 1
    assert (await reader("GET", "sobjects/Account/describe"))[0] == 404
    status, answer = await client("PUT", path, {"objects": {"Lead": ["fly"]}})
    assert (status, answer["error"].partition(":")[0]) == (400, "objects.Lead.0")
