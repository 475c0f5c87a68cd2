"""Describes, as clients read them."""

from typing import Any

from tests.integration.sandbox.conftest import Client


async def described(client: Client, name: str) -> dict[str, Any]:
    """Return a describe."""
    status, body = await client("GET", f"sobjects/{name}/describe")
    assert status == 200
    description: dict[str, Any] = body
    return description


def by_name(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields by their names."""
    return {field["name"]: field for field in description["fields"]}


async def test_references_lead_to_parents(client: Client) -> None:
    """Each names the types that it points to, and the relationship."""
    fields = by_name(await described(client, "Contact"))
    found = {name: (fields[name]["referenceTo"], fields[name]["relationshipName"]) for name in fields}
    assert found["AccountId"] == (["Account"], "Account")
    assert found["ReportsToId"] == (["Contact"], "ReportsTo")
    assert found["CreatedById"] == (["User"], "CreatedBy")
    assert found["LastName"] == ([], None)
    who = by_name(await described(client, "Task"))["WhoId"]
    assert (who["referenceTo"], who["polymorphicForeignKey"]) == (["Contact", "Lead"], True)


async def test_parents_list_their_children(client: Client) -> None:
    """With the name under which a query or a tree finds them."""
    children = (await described(client, "Account"))["childRelationships"]
    named = {
        (child["childSObject"], child["field"]): child["relationshipName"]
        for child in children
        if child["relationshipName"]
    }
    assert named[("Contact", "AccountId")] == "Contacts"
    assert named[("Account", "ParentId")] == "ChildAccounts"
    assert ("Lead", "ConvertedAccountId") not in named


async def test_fields_have_types_and_lengths(client: Client) -> None:
    """In Salesforce's and in XML's terms."""
    fields = by_name(await described(client, "Account"))
    told = {name: (field["type"], field["soapType"], field["length"]) for name, field in fields.items()}
    assert told["Id"] == ("id", "tns:ID", 18)
    assert told["Name"] == ("string", "xsd:string", 255)
    assert told["AnnualRevenue"] == ("currency", "xsd:double", 0)
    assert told["NumberOfEmployees"] == ("int", "xsd:int", 0)
    assert told["CreatedDate"] == ("datetime", "xsd:dateTime", 0)
    assert told["BillingAddress"] == ("address", "urn:address", 0)
    assert fields["BillingCity"]["compoundFieldName"] == "BillingAddress"


async def test_stages_are_listed(client: Client) -> None:
    """A picklist that the sandbox computes with has its values."""
    stage = by_name(await described(client, "Opportunity"))["StageName"]
    values = [value["value"] for value in stage["picklistValues"]]
    assert (values[0], "Closed Won" in values) == ("Prospecting", True)


async def test_every_type_has_the_master_record_type(client: Client) -> None:
    """And no other."""
    (info,) = (await described(client, "Account"))["recordTypeInfos"]
    assert (info["recordTypeId"], info["master"]) == ("012000000000000AAA", True)


async def test_events_are_described(client: Client) -> None:
    """A change event by the fields of its type, a platform event by those of every event."""
    change = await described(client, "AccountChangeEvent")
    names = by_name(change).keys()
    assert {"ReplayId", "ChangeEventHeader", "BillingAddress"} <= names
    assert not names & {"IsDeleted", "SystemModstamp"}
    assert (change["queryable"], change["keyPrefix"]) == (False, None)
    event = await described(client, "Order_Placed__e")
    assert (event["createable"], next(iter(by_name(event)))) == (True, "ReplayId")


async def test_the_global_describe_lists_types_and_change_events(client: Client) -> None:
    """Also those that a client has just made."""
    await client("POST", "sobjects/Invoice__c", {"Name": "1"})
    _, body = await client("GET", "sobjects")
    names = {each["name"] for each in body["sobjects"]}
    assert {"Account", "AccountChangeEvent", "Invoice__c", "Invoice__ChangeEvent"} <= names
