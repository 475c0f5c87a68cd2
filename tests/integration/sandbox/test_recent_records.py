"""Recently viewed records, which queries mark and `recent` lists."""

from typing import Any

import pytest

from streamer.sandbox import Sandbox, User
from tests.integration.sandbox.conftest import Client
from tests.integration.sandbox.test_standard_resources import created


async def query(client: Client, text: str, **options: Any) -> list[dict[str, Any]]:
    """Run a query and return its records."""
    status, answer = await client("GET", f"query?q={text.replace(' ', '+')}", **options)
    assert status == 200, answer
    return list(answer["records"])


async def view(client: Client, type_name: str, clause: str = "FOR VIEW", **options: Any) -> None:
    """Mark all records of a type as viewed."""
    await query(client, f"SELECT Id FROM {type_name} {clause}", **options)  # noqa: S608 - SOQL


async def recent(client: Client, parameters: str = "", **options: Any) -> list[str]:
    """Return the names of the recent records."""
    status, answer = await client("GET", f"recent{parameters}", **options)
    assert status == 200, answer
    return [each["Name"] for each in answer]


async def test_viewed_record_is_listed(client: Client) -> None:
    """The list has the form of the guide's example, and only marked records."""
    account = await created(client, "Account", Name="Acme")
    await created(client, "Account", Name="Globex")
    assert await recent(client) == []
    text = "SELECT Name FROM Account WHERE Name = 'Acme' LIMIT 1 FOR VIEW"
    assert [each["Name"] for each in await query(client, text)] == ["Acme"]
    _, listed = await client("GET", "recent/?limit=2")
    url = f"/services/data/v66.0/sobjects/Account/{account}"
    assert listed == [{"attributes": {"type": "Account", "url": url}, "Id": account, "Name": "Acme"}]
    _, resources = await client("GET", "")
    assert resources["recent"] == "/services/data/v66.0/recent"


async def test_latest_comes_first(client: Client) -> None:
    """A record that is viewed or referenced again moves to the front, and is listed once."""
    await created(client, "Account", Name="Acme")
    await created(client, "Contact", FirstName="Ida", LastName="Berg")
    await created(client, "Case", Subject="Broken")
    for type_name, clause in (("Account", "FOR VIEW"), ("Contact", "FOR REFERENCE"), ("Case", "for view")):
        await view(client, type_name, clause)
    assert await recent(client) == ["00000001", "Ida Berg", "Acme"]
    await view(client, "Account", "FOR REFERENCE")
    assert await recent(client) == ["Acme", "00000001", "Ida Berg"]
    assert await recent(client, "?limit=1") == ["Acme"]


async def test_list_is_the_users_own(client: Client, sandbox: Sandbox) -> None:
    """It leaves out what the user can no longer read, and deleted records."""
    reader = User.model_validate({"username": "reader@acme.example"})
    token = sandbox.tokens.issue(user_id=sandbox.users.put(reader), client_id="sandbox")
    own: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}}
    account = await created(client, "Account", Name="Acme")
    await created(client, "Contact", LastName="Berg")
    for type_name in ("Account", "Contact"):
        await view(client, type_name, **own)
    assert await recent(client) == []
    assert await recent(client, **own) == ["Berg", "Acme"]
    sandbox.users.put(reader.model_copy(update={"objects": {"Account": frozenset({"read"})}}))
    assert await recent(client, **own) == ["Acme"]
    await client("DELETE", f"sobjects/Account/{account}")
    assert await recent(client, **own) == []


async def test_two_hundred_records_are_kept(client: Client) -> None:
    """The oldest ones are forgotten."""
    records = [{"attributes": {"type": "Account"}, "Name": f"A{number}"} for number in range(201)]
    for part in (records[:200], records[200:]):
        await client("POST", "composite/sobjects", {"records": part})
    await view(client, "Account")
    found = await recent(client)
    assert (len(found), found[0], found[-1]) == (200, "A200", "A1")


async def test_activities_are_not_listed(client: Client) -> None:
    """RecentlyViewed does not support events and tasks."""
    await created(client, "Task", Subject="Call")
    assert len(await query(client, "SELECT Id FROM Task FOR VIEW")) == 1
    assert await recent(client) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT Id FROM Account FOR",
        "SELECT Id FROM Account FOR UPDATE",
        "SELECT Id FROM Account FOR VIEW LIMIT 1",
        "SELECT Id FROM Account FOR VIEW FOR REFERENCE",
        "SELECT Id, (SELECT Id FROM Contacts FOR VIEW) FROM Account",
    ],
)
async def test_clause_has_one_form(client: Client, text: str) -> None:
    """It comes last in the query."""
    status, (error,) = await client("GET", f"query?q={text.replace(' ', '+')}")
    assert (status, error["errorCode"]) == (400, "MALFORMED_QUERY")


async def test_other_queries_view_nothing(client: Client) -> None:
    """A query job and a PushTopic have no viewer."""
    text = "SELECT Id FROM Account FOR VIEW"
    status, (error,) = await client("POST", "jobs/query", {"operation": "query", "query": text})
    assert (status, error["errorCode"]) == (400, "API_ERROR")
    topic = {"Name": "Accounts", "ApiVersion": 66.0, "Query": text}
    assert (await client("POST", "sobjects/PushTopic", topic))[0] == 400
