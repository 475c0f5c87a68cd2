"""Records that are found by external ids: upserts, and parents in a body."""

from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings
from streamer.sandbox.org.refusals import Refused
from tests.integration.sandbox.conftest import DATA, Client


async def found(client: Client, query: str) -> list[dict[str, Any]]:
    """Return the records of a query without their attributes."""
    _, answer = await client("GET", f"query?q={query}")
    return [{name: value for name, value in row.items() if name != "attributes"} for row in answer["records"]]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_several_records_of_one_external_id_are_listed(client: Client, method: str) -> None:
    """Status 300, and none of them is changed."""
    ids = [
        (await client("POST", "sobjects/Account", {"Name": "A", "Key__c": "k"}))[1]["id"] for _ in range(2)
    ]
    body = {"Name": "B"} if method == "PATCH" else None
    answer = await client(method, "sobjects/Account/Key__c/k", body)
    assert answer == (300, [f"{DATA}/sobjects/Account/{record_id}" for record_id in ids])
    assert [row["Name"] for row in await found(client, "SELECT+Name+FROM+Account")] == ["A", "A"]


async def test_old_versions_answer_an_update_without_a_body(client: Client) -> None:
    """And a creation without `created`, up to version 45.0."""
    url = "/services/data/v45.0/sobjects/Account/Key__c/k"
    status, created = await client("PATCH", url, {"Name": "A"})
    assert (status, list(created)) == (201, ["id", "success", "errors"])
    assert await client("PATCH", url, {"Name": "B"}) == (204, None)


async def test_an_upsert_can_be_an_update_alone(client: Client) -> None:
    """`updateOnly=true` creates nothing."""
    url = "sobjects/Account/Key__c/k?updateOnly=true"
    assert (await client("PATCH", url, {"Name": "A"}))[0] == 404
    await client("POST", "sobjects/Account", {"Name": "A", "Key__c": "k"})
    assert (await client("PATCH", url, {"Name": "B"}))[0] == 200


async def test_a_record_is_created_at_the_address_of_ids(client: Client) -> None:
    """The id itself can't be given."""
    status, created = await client("POST", "sobjects/Account/Id", {"Name": "A"})
    assert (status, created["created"], created["success"]) == (201, True, True)
    assert (await client("POST", "sobjects/Account/Id", {"Name": "A", "Id": created["id"]}))[0] == 400


async def test_a_parent_is_named_by_its_external_id(client: Client) -> None:
    """On creation and on update, for a standard relationship."""
    for key in ("a", "b"):
        await client("POST", "sobjects/Account", {"Name": key, "Key__c": key})
    _, contact = await client("POST", "sobjects/Contact", {"LastName": "Berg", "Account": {"Key__c": "a"}})
    assert await found(client, "SELECT+Account.Name+FROM+Contact") != []
    path = f"sobjects/Contact/{contact['id']}"
    assert await client("PATCH", path, {"Account": {"Key__c": "b"}}) == (204, None)
    (row,) = await found(client, "SELECT+Account.Name+FROM+Contact")
    assert row["Account"]["Name"] == "b"


async def test_a_custom_relationship_is_made_at_its_first_use(client: Client) -> None:
    """It leads to the type of its name, or to the one that the body names."""
    await client("POST", "sobjects/Merchandise__c", {"Name": "M", "Key__c": 123})
    body = {"Merchandise__r": {"Key__c": 123}}
    assert (await client("PATCH", "sobjects/Line_Item__c/Line__c/456", body))[0] == 201
    _, description = await client("GET", "sobjects/Line_Item__c/describe")
    (field,) = (each for each in description["fields"] if each["name"] == "Merchandise__c")
    assert (field["referenceTo"], field["relationshipName"]) == (["Merchandise__c"], "Merchandise__r")
    await client("POST", "sobjects/Account", {"Name": "A", "Key__c": "a"})
    parent = {"attributes": {"type": "Account"}, "Key__c": "a"}
    assert (await client("POST", "sobjects/Line_Item__c", {"Buyer__r": parent}))[0] == 201


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        ({"Key__c": "no"}, "Foreign key external ID: no not found for field Key__c in entity Account"),
        ({"Key__c": "a", "Name": "x"}, "Account must be named by one external id field"),
        ({"Nope": "a"}, "No such column 'Nope' on sobject of type Account"),
    ],
)
async def test_a_parent_that_is_not_found_is_refused(
    client: Client, parent: dict[str, str], message: str
) -> None:
    """Nothing is created."""
    status, (error,) = await client("POST", "sobjects/Contact", {"LastName": "Berg", "Account": parent})
    assert (status, error["errorCode"], error["message"]) == (400, "INVALID_FIELD", message)
    assert client.sandbox.org.published == 0


async def test_a_closed_schema_gets_no_new_relationship(clock: TurnedClock) -> None:
    """An unknown one is an unknown field."""
    settings = SandboxSettings(org=OrgSetup(objects=("Line__c",), closed=True))
    async with Sandbox(clock, settings=settings) as sandbox:
        buyer = {"attributes": {"type": "Account"}, "Name": "A"}
        refused = pytest.raises(Refused, match="No such column 'Buyer__c'")
        with refused, sandbox.org.transaction() as transaction:
            transaction.create("Line__c", {"Buyer__r": buyer})
