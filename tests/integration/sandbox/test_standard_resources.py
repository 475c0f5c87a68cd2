"""Resources and objects that tools request first."""

from typing import Any

import pytest

from tests.integration.sandbox.conftest import Client


async def created(client: Client, type_name: str, **fields: Any) -> str:
    """Create a record and return its id."""
    status, answer = await client("POST", f"sobjects/{type_name}", fields)
    assert status == 201, answer
    return str(answer["id"])


async def test_parent_and_children_have_addresses(client: Client) -> None:
    """By the name of the relationship, with the fields asked for; what leads nowhere is not found."""
    account = await created(client, "Account", Name="Acme")
    contacts = [await created(client, "Contact", LastName=name, AccountId=account) for name in "AB"]
    lonely = await created(client, "Contact", LastName="C")
    _, parent = await client("GET", f"sobjects/Contact/{contacts[0]}/Account?fields=Name")
    assert (parent["Id"], parent["Name"], parent["attributes"]["type"]) == (account, "Acme", "Account")
    _, below = await client("GET", f"sobjects/Account/{account}/Contacts")
    assert (below["totalSize"], below["done"]) == (2, True)
    assert [each["Id"] for each in below["records"]] == contacts
    for path in (f"Contact/{lonely}/Account", f"Contact/{lonely}/Nope", f"Account/{lonely}/Contacts"):
        assert (await client("GET", f"sobjects/{path}"))[0] == 404


async def test_parent_is_updated_and_deleted_by_its_address(client: Client) -> None:
    """The answer has no body. An address of no single parent is not found, and nothing changes."""
    account = await created(client, "Account", Name="Acme")
    contact = await created(client, "Contact", LastName="A", AccountId=account)
    lonely = await created(client, "Contact", LastName="B")
    address = f"sobjects/Contact/{contact}/Account"
    assert (await client("PATCH", address, {"Name": "Acme Inc."}))[0] == 204
    assert (await client("GET", f"sobjects/Account/{account}"))[1]["Name"] == "Acme Inc."
    status, refused = await client("PATCH", address, {"Id": account})
    assert (status, refused[0]["errorCode"]) == (400, "INVALID_FIELD")
    for method in ("PATCH", "DELETE"):
        for path in (f"Contact/{lonely}/Account", f"Contact/{contact}/Nope", f"Account/{account}/Contacts"):
            assert (await client(method, f"sobjects/{path}", {"Name": "x"}))[0] == 404
    assert (await client("DELETE", address))[0] == 204
    assert (await client("GET", f"sobjects/Account/{account}"))[0] == 404


async def test_records_are_counted(client: Client) -> None:
    """Of the types that are named, or of those that have any; deleted ones are left out."""
    accounts = [await created(client, "Account", Name=name) for name in "ABC"]
    await client("DELETE", f"sobjects/Account/{accounts[0]}")
    _, answer = await client("GET", "limits/recordCount?sObjects=Account,Contact")
    assert answer == {"sObjects": [{"count": 2, "name": "Account"}, {"count": 0, "name": "Contact"}]}
    _, everything = await client("GET", "limits/recordCount")
    assert {"count": 2, "name": "Account"} in everything["sObjects"]
    assert all(each["count"] for each in everything["sObjects"])


@pytest.mark.parametrize(
    ("type_name", "prefix", "is_announced"),
    [
        ("Campaign", "701", True),
        ("CampaignMember", "00v", True),
        ("Event", "00U", True),
        ("Pricebook2", "01s", True),
        ("PricebookEntry", "01u", True),
        ("UserRole", "00E", False),
        ("Profile", "00e", False),
        ("RecordType", "012", False),
        ("Group", "00G", False),
    ],
)
async def test_tools_find_the_standard_objects(
    client: Client, type_name: str, prefix: str, *, is_announced: bool
) -> None:
    """With their id prefixes, in describes and queries; Change Data Capture supports some of them."""
    _, about = await client("GET", f"sobjects/{type_name}/describe")
    assert (about["name"], about["keyPrefix"]) == (type_name, prefix)
    assert (await client("GET", f"query?q=SELECT+Id+FROM+{type_name}"))[0] == 200
    refusal = client.sandbox.org.channels.refusal(f"/data/{type_name}ChangeEvent")
    assert (refusal is None) is is_announced


async def test_price_is_that_of_a_product_in_a_book(client: Client) -> None:
    """The references hold as those of other objects do."""
    book = await created(client, "Pricebook2", Name="Standard", IsActive=True)
    product = await created(client, "Product2", Name="Bolt")
    fields = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 5, "IsActive": True}
    await created(client, "PricebookEntry", **fields)
    query = "SELECT+UnitPrice,Product2.Name,Pricebook2.Name+FROM+PricebookEntry"
    (found,) = (await client("GET", f"query?q={query}"))[1]["records"]
    assert (found["UnitPrice"], found["Product2"]["Name"]) == (5.0, "Bolt")
    assert found["Pricebook2"]["Name"] == "Standard"
    status, answer = await client("POST", "sobjects/PricebookEntry", {**fields, "Product2Id": book})
    assert (status, answer[0]["errorCode"]) == (400, "FIELD_INTEGRITY_EXCEPTION")
