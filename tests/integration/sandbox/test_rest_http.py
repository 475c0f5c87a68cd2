"""HTTP of the REST API: methods, media types, compression and conditional requests."""

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from tests.integration.sandbox.conftest import DATA, Client

NEVER = "Thu, 01 Jan 1970 00:00:00 GMT"
NOW = "Wed, 01 Jan 2025 00:00:00 GMT"
LATER = "Wed, 01 Jan 2025 00:01:00 GMT"


@pytest.fixture
async def account(client: Client) -> str:
    """The path of an account made at the start of 2025."""
    _, saved = await client("POST", "sobjects/Account", {"Name": "Acme"})
    return f"sobjects/Account/{saved['id']}"


async def validators(client: Client, path: str) -> Mapping[str, str]:
    """Return the headers of an uncompressed GET."""
    async with client.http.get(f"{DATA}/{path}", headers={"Accept-Encoding": "identity"}) as response:
        return response.headers


@pytest.mark.parametrize(
    "path", ["/services/data", DATA + "/limits", "/services/oauth2/userinfo", "/sandbox/state"]
)
async def test_a_second_slash_at_the_start_is_tolerated(client: Client, path: str) -> None:
    """The sf CLI joins an instance URL that ends in a slash with a path that begins with one."""
    async with client.http.get(f"{client.sandbox.url}/{path}") as response:
        assert response.status == 200


async def test_cometd_tolerates_a_second_slash(client: Client) -> None:
    """A handshake succeeds at such an address."""
    handshake = [
        {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]}
    ]
    _, (reply,) = await client("POST", f"{client.sandbox.url}//cometd/66.0", handshake)
    assert reply["successful"] is True


async def test_a_post_stands_for_another_method(client: Client, account: str) -> None:
    """`_HttpMethod` is for HTTP libraries that know no PATCH."""
    assert await client("POST", f"{account}?_HttpMethod=PATCH", {"Phone": "1"}) == (204, None)
    _, record = await client("POST", f"{account}?_HttpMethod=GET&fields=Phone")
    assert record["Phone"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "sobjects/Account", "HEAD,GET,POST"),
        ("PUT", "sobjects/Account/001000000000001AAA", "HEAD,GET,PATCH,DELETE"),
        ("POST", "limits", "HEAD,GET"),
        ("POST", "sobjects/Account?_HttpMethod=patch", "HEAD,GET,POST"),
    ],
)
async def test_a_method_that_a_resource_lacks_is_refused(
    client: Client, method: str, path: str, allowed: str
) -> None:
    """The answer lists the methods that it has."""
    async with client.http.request(method, f"{DATA}/{path}", json={}) as response:
        (error,) = await response.json()
        assert (response.status, response.headers["Allow"]) == (405, allowed)
    used = path.partition("=")[2] or method
    assert error == {
        "message": f"HTTP Method '{used}' not allowed. Allowed are {allowed}",
        "errorCode": "METHOD_NOT_ALLOWED",
    }


async def test_a_form_is_no_record(client: Client) -> None:
    """A body of another media type than JSON is refused."""
    status, (error,) = await client("POST", "sobjects/Account", data={"Name": "Acme"})
    message = "MediaType of 'application/x-www-form-urlencoded' is not supported by this resource"
    assert (status, error) == (415, {"message": message, "errorCode": "UNSUPPORTED_MEDIA_TYPE"})


async def test_a_broken_body_is_pointed_at(client: Client) -> None:
    """By line and column."""
    headers = {"Content-Type": "application/json"}
    status, (error,) = await client("POST", "sobjects/Account", data=b'{"Name":\n oops}', headers=headers)
    assert (status, error["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert error["message"].endswith("at [line:2, column:2]")


async def test_bodies_are_compressed_both_ways(client: Client) -> None:
    """Requests with their Content-Encoding, answers for their Accept-Encoding."""
    body = gzip.compress(orjson.dumps({"Name": "Acme"}))
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert (await client("POST", "sobjects/Account", data=body, headers=headers))[0] == 201
    for accepted, encoding in (("gzip, deflate", "gzip"), ("deflate", "deflate"), ("identity", None)):
        async with client.http.get(f"{DATA}/limits", headers={"Accept-Encoding": accepted}) as response:
            assert response.headers.get("Content-Encoding") == encoding
            assert response.headers["Content-Type"] == "application/json;charset=UTF-8"
            assert "DailyApiRequests" in await response.json()


async def test_a_head_has_the_headers_of_a_get(client: Client, account: str) -> None:
    """It has no body."""
    async with client.http.head(f"{DATA}/{account}") as response:
        assert (response.status, response.headers["Last-Modified"]) == (200, NOW)
        assert await response.read() == b""


async def test_only_accounts_have_tags(client: Client, account: str) -> None:
    """Other records have the time of their last change alone."""
    _, saved = await client("POST", "sobjects/Contact", {"LastName": "Berg"})
    contact = await validators(client, f"sobjects/Contact/{saved['id']}")
    assert ("ETag" in contact, contact["Last-Modified"]) == (False, NOW)
    tag = (await validators(client, account))["ETag"]
    async with client.http.get(f"{DATA}/{account}") as compressed:
        assert compressed.headers["ETag"] == f'{tag[:-1]}-gzip"'


@pytest.mark.parametrize(
    ("method", "condition", "status"),
    [
        ("GET", {"If-None-Match": '"other", {tag}'}, 304),
        ("GET", {"If-None-Match": '"other"'}, 200),
        ("GET", {"If-Match": "{tag}"}, 200),
        ("GET", {"If-Match": '"other"'}, 412),
        ("GET", {"If-Modified-Since": LATER}, 304),
        ("GET", {"If-Modified-Since": NEVER}, 200),
        ("GET", {"If-Modified-Since": "someday"}, 200),
        ("GET", {"If-Unmodified-Since": NEVER}, 412),
        ("PATCH", {"If-Match": "{tag}"}, 204),
        ("PATCH", {"If-Match": '"other"'}, 412),
        ("PATCH", {"If-None-Match": "{tag}"}, 412),
        ("PATCH", {"If-Unmodified-Since": NOW}, 204),
        ("PATCH", {"If-Unmodified-Since": NEVER}, 412),
        ("PATCH", {"If-Unmodified-Since": "someday"}, 400),
        ("PATCH", {"If-Match": "unquoted"}, 400),
        ("DELETE", {"If-Match": '"other"'}, 204),
    ],
)
async def test_conditions_decide(
    client: Client, account: str, method: str, condition: dict[str, str], status: int
) -> None:
    """As the guide's page on conditional requests says, for accounts."""
    tag = (await validators(client, account))["ETag"]
    headers = {name: value.replace("{tag}", tag) for name, value in condition.items()}
    body: Any = {"Phone": "1"} if method == "PATCH" else None
    assert (await client(method, account, body, headers=headers))[0] == status


async def test_a_change_changes_the_tag(client: Client, account: str, clock: TurnedClock) -> None:
    """So the second of two clients that read the same state finds its update refused."""
    before = await validators(client, account)
    await clock.turn(60)
    mine = {"If-Match": before["ETag"]}
    assert (await client("PATCH", account, {"Phone": "1"}, headers=mine))[0] == 204
    assert (await client("PATCH", account, {"Phone": "2"}, headers=mine))[0] == 412
    assert (await client("GET", f"{account}?fields=Phone"))[1]["Phone"] == "1"


async def test_a_describe_is_new_when_the_schema_is(client: Client, clock: TurnedClock) -> None:
    """A field that is created makes describes worth reading again."""
    await clock.turn(60)
    since = {"If-Modified-Since": (await validators(client, "sobjects"))["Last-Modified"]}
    for path in ("sobjects", "sobjects/Account/describe"):
        assert (await client("GET", path, headers=since)) == (304, None)
    await client("POST", "sobjects/Account", {"Name": "Acme", "New__c": "1"})
    for path in ("sobjects", "sobjects/Account/describe"):
        assert (await client("GET", path, headers=since))[0] == 200


async def test_a_query_describes_its_columns(client: Client) -> None:
    """Instead of its records; the sf CLI asks for this before each query that it prints."""
    query = "SELECT Id, lastname, Account.Name, Account.Owner.Email, Size__c FROM Contact"
    _, described = await client("GET", f"query?q={query}&columns=true")
    metadata = described.pop("columnMetadata")
    assert described == {
        "entityName": "Contact",
        "groupBy": False,
        "idSelected": True,
        "keyPrefix": "003",
    }
    assert [(each["columnName"], each["apexType"]) for each in metadata] == [
        ("Id", "Id"),
        ("LastName", "String"),
        ("Account", "String"),
        ("Size__c", "String"),
    ]
    name, owner = metadata[2]["joinColumns"]
    assert (name["columnName"], owner["columnName"]) == ("Name", "Owner")
    assert [each["columnName"] for each in owner["joinColumns"]] == ["Email"]


async def test_a_query_describes_aggregates_and_children(client: Client) -> None:
    """A group's columns have their aliases, and those of children are joined under the relationship."""
    grouped = "SELECT Industry, COUNT(Id) n FROM Account GROUP BY Industry"
    _, described = await client("GET", f"query?q={grouped}&columns=true")
    found = [(each["columnName"], each["aggregate"]) for each in described["columnMetadata"]]
    assert (described["groupBy"], found) == (True, [("Industry", False), ("n", True)])

    family = "SELECT Name, (SELECT LastName FROM Contacts) FROM Account"
    _, described = await client("GET", f"query?q={family}&columns=true")
    children = described["columnMetadata"][1]
    below = [each["columnName"] for each in children["joinColumns"]]
    assert (children["columnName"], below) == ("Contacts", ["LastName"])
