"""Definitions of types and fields, which tools read by SOQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, parse_schema
from tests.integration.sandbox.conftest import Client

SCHEMA = {
    "objects": {
        "Account": {
            "fields": {
                "ERP_Id__c": {"type": "string", "length": 20, "unique": True, "external_id": True},
                "Score__c": {"type": "double", "precision": 5, "scale": 2},
            }
        },
        "Invoice__c": {
            "label": "Invoice",
            "fields": {
                "Account__c": {"type": "reference", "to": "Account", "cascade": True},
                "Amount__c": {"type": "currency", "precision": 12, "scale": 2},
                "Colours__c": {"type": "multipicklist", "values": ["Red", "Blue"]},
                "Notes__c": {"type": "textarea", "length": 4000, "label": "Notes on it"},
                "Short__c": {"type": "textarea", "length": 255},
            },
        },
    },
    "events": {"Order_Placed__e": {"fields": {"Order_No__c": {"type": "string", "required": True}}}},
}
BOTH = pytest.mark.parametrize("root", ["query", "tooling/query"])


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An org with a schema."""
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(clock, settings=settings) as running:
        yield running


async def asked(client: Client, text: str, root: str = "query", **options: Any) -> tuple[int, Any]:
    """Return the status and the answer to a query."""
    return await client("GET", f"{root}?q={text.replace(' ', '+').replace('%', '%25')}", **options)


async def found(client: Client, text: str, root: str = "query", **options: Any) -> list[dict[str, Any]]:
    """Run a query and return its records."""
    status, answer = await asked(client, text, root, **options)
    assert status == 200, answer
    assert answer["done"] is True
    return list(answer["records"])


async def data_types(client: Client, type_name: str) -> dict[str, str]:
    """Return the data types of a type's fields, by their names."""
    text = "SELECT QualifiedApiName, DataType FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = "
    rows = await found(client, f"{text}'{type_name}'")
    return {each["QualifiedApiName"]: each["DataType"] for each in rows}


ACCOUNT = {
    "Id": "000000000000000AAA",
    "DurableId": "Account",
    "QualifiedApiName": "Account",
    "DeveloperName": "Account",
    "MasterLabel": "Account",
    "Label": "Account",
    "PluralLabel": "Account",
    "KeyPrefix": "001",
    "NamespacePrefix": None,
    "PublisherId": "System",
    "IsQueryable": True,
    "IsCustomSetting": False,
    "IsCustomizable": True,
    "IsDeprecatedAndHidden": False,
    "IsTriggerable": True,
    "NewUrl": None,
}


@BOTH
async def test_types_are_read(client: Client, root: str) -> None:
    """Under the address of the API that is asked; definitions have no ids of their own."""
    text = f"SELECT {', '.join(ACCOUNT)} FROM EntityDefinition WHERE QualifiedApiName = "  # noqa: S608 - SOQL
    base = f"/services/data/v66.0/{root.removesuffix('query')}sobjects/EntityDefinition"
    (account,) = await found(client, f"{text}'account'", root)
    assert account == {"attributes": {"type": "EntityDefinition", "url": f"{base}/Account"}, **ACCOUNT}
    (invoice,) = await found(client, f"{text}'Invoice__c'", root)
    told = (invoice["DeveloperName"], invoice["Label"], invoice["PublisherId"])
    assert told == ("Invoice", "Invoice", "<local>")
    assert (invoice["DurableId"][:3], len(invoice["DurableId"])) == ("01I", 15)
    assert invoice["attributes"]["url"] == f"{base}/{invoice['DurableId']}"


async def test_types_are_found_by_their_properties(client: Client) -> None:
    """Events are among them; those that announce changes have a publisher of their own."""
    names = "SELECT QualifiedApiName FROM EntityDefinition WHERE "

    async def matching(condition: str) -> list[str]:
        return [each["QualifiedApiName"] for each in await found(client, names + condition)]

    assert await matching("KeyPrefix = '003'") == ["Contact"]
    assert await matching("QualifiedApiName LIKE '%\\_\\_e'") == ["Order_Placed__e"]
    announced = await matching("PublisherId = 'CDC' ORDER BY QualifiedApiName")
    assert announced[0] == "AccountChangeEvent"
    assert "Invoice__ChangeEvent" in announced
    condition = "IsCustomizable = false AND QualifiedApiName IN ('Profile', 'Account')"
    assert await matching(condition) == ["Profile"]
    assert await matching("IsQueryable = true AND QualifiedApiName LIKE 'Opp%' LIMIT 1 OFFSET 1") == [
        "OpportunityLineItem"
    ]
    _, counted = await asked(client, "SELECT COUNT() FROM EntityDefinition WHERE KeyPrefix = '001'")
    assert counted == {"totalSize": 1, "done": True, "records": []}


async def test_record_types_of_a_type_are_read(client: Client) -> None:
    """In the form of the guide's example."""
    text = "SELECT RecordTypesSupported FROM EntityDefinition WHERE QualifiedApiName = 'Campaign'"
    (campaign,) = await found(client, text, "tooling/query")
    (info,) = campaign["RecordTypesSupported"]["recordTypeInfos"]
    assert (info["name"], info["master"], info["available"]) == ("Master", True, True)


@BOTH
async def test_field_is_read(client: Client, root: str) -> None:
    """The guide's example of a reference."""
    text = "SELECT QualifiedApiName, RelationshipName, ReferenceTo, ReferenceTargetField "
    text += "FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Contact' "
    text += "AND QualifiedApiName = 'AccountId'"
    base = f"/services/data/v66.0/{root.removesuffix('query')}sobjects"
    assert await found(client, text, root) == [
        {
            "attributes": {"type": "FieldDefinition", "url": f"{base}/FieldDefinition/Contact.Account"},
            "QualifiedApiName": "AccountId",
            "RelationshipName": "Account",
            "ReferenceTo": {"referenceTo": ["Account"]},
            "ReferenceTargetField": None,
        }
    ]


async def test_id_is_described_as_in_an_org(client: Client) -> None:
    """The values were seen in an org."""
    text = "SELECT FIELDS(ALL) FROM FieldDefinition WHERE EntityDefinitionId = 'Lead'"
    (row,) = await found(client, f"{text} AND QualifiedApiName = 'Id'")
    expected = {
        "BusinessOwnerId": None,
        "DataType": "Lookup()",
        "DurableId": "Lead.Id",
        "IsApiFilterable": True,
        "IsApiGroupable": True,
        "IsApiSortable": True,
        "IsCalculated": False,
        "IsCompound": False,
        "IsFieldHistoryTracked": False,
        "IsHighScaleNumber": False,
        "IsHtmlFormatted": False,
        "IsIndexed": True,
        "IsNameField": False,
        "Length": 18,
        "NamespacePrefix": None,
        "Precision": 0,
        "QualifiedApiName": "Id",
        "Scale": 0,
    }
    assert {name: row[name] for name in expected} == expected


async def test_data_types_are_those_of_the_user_interface(client: Client) -> None:
    """Digits are those before and behind the point; an address and a name stand for their parts."""
    account = await data_types(client, "Account")
    assert {
        "Name": "Name",
        "Sic": "Text(20)",
        "Fax": "Fax",
        "Phone": "Phone",
        "Website": "URL(255)",
        "Industry": "Picklist",
        "Description": "Long Text Area(32000)",
        "BillingAddress": "Address",
        "OwnerId": "Lookup(User)",
        "ParentId": "Hierarchy",
        "IsDeleted": "Checkbox",
        "CreatedDate": "Date/Time",
        "ERP_Id__c": "Text(20) (External ID) (Unique Case Insensitive)",
        "Score__c": "Number(3, 2)",
    }.items() <= account.items()
    assert "BillingCity" not in account
    invoice = await data_types(client, "Invoice__c")
    assert {
        "Name": "Text(80)",
        "Account__c": "Master-Detail(Account)",
        "Amount__c": "Currency(10, 2)",
        "Colours__c": "Picklist (Multi-Select)",
        "Notes__c": "Long Text Area(4000)",
        "Short__c": "Text Area(255)",
    }.items() <= invoice.items()
    contact = await data_types(client, "Contact")
    assert (contact["Name"], contact["Birthdate"], contact["Email"]) == ("Name", "Date", "Email")
    assert "LastName" not in contact
    assert (await data_types(client, "Case"))["CaseNumber"] == "Auto Number"
    assert (await data_types(client, "Order_Placed__e"))["Order_No__c"] == "Text(255)"


async def test_fields_of_a_custom_type_are_found_by_its_durable_id(client: Client) -> None:
    """Neither the type nor its custom fields are found by their names there."""
    text = "SELECT DurableId FROM EntityDefinition WHERE QualifiedApiName = 'Invoice__c'"
    (invoice,) = await found(client, text)
    fields = "SELECT DurableId, DeveloperName, Label, EntityDefinition.Label FROM FieldDefinition WHERE "
    one = f"EntityDefinitionId = '{invoice['DurableId']}' AND QualifiedApiName = 'Notes__c'"
    (notes,) = await found(client, fields + one)
    durable, _, field = notes["DurableId"].partition(".")
    assert (durable, field[:3], len(field)) == (invoice["DurableId"], "00N", 15)
    assert (notes["DeveloperName"], notes["Label"]) == ("Notes", "Notes on it")
    assert notes["EntityDefinition"]["Label"] == "Invoice"
    assert await found(client, f"{fields}DurableId = '{notes['DurableId']}'") == [notes]


async def test_fields_are_children_of_their_type(client: Client) -> None:
    """Under the name that the guide gives them."""
    text = "SELECT DurableId, (SELECT QualifiedApiName FROM Fields WHERE IsNameField = true) "
    text += "FROM EntityDefinition WHERE QualifiedApiName IN ('Case', 'Invoice__c') ORDER BY QualifiedApiName"
    names = [each["Fields"]["records"][0]["QualifiedApiName"] for each in await found(client, text)]
    assert names == ["CaseNumber", "Name"]


REIFIED = "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]"
STORAGE = "The requested operation is not yet supported by this SObject storage type, contact salesforce.com "


@BOTH
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("SELECT Label FROM FieldDefinition", "MALFORMED_QUERY", REIFIED),
        ("SELECT Label FROM FieldDefinition WHERE DataType LIKE 'Text%'", "MALFORMED_QUERY", REIFIED),
        ("SELECT Label FROM FieldDefinition WHERE DurableId LIKE 'Account.%'", "MALFORMED_QUERY", REIFIED),
        (
            "SELECT Label FROM EntityDefinition WHERE KeyPrefix = '001' OR KeyPrefix = '003'",
            "MALFORMED_QUERY",
            "Disjunctions not supported",
        ),
        (
            "SELECT Label FROM EntityDefinition WHERE IsQueryable = true AND (Label = 'A' OR Label = 'B')",
            "MALFORMED_QUERY",
            "Disjunctions not supported",
        ),
        (
            "SELECT Label FROM EntityDefinition WHERE QualifiedApiName != 'Account'",
            "MALFORMED_QUERY",
            "Only equals comparisons permitted",
        ),
        (
            "SELECT Label FROM EntityDefinition WHERE NOT QualifiedApiName = 'Account'",
            "MALFORMED_QUERY",
            "Only equals comparisons permitted",
        ),
        (
            "SELECT Label FROM FieldDefinition WHERE EntityDefinitionId = 'Account' AND Length > 5",
            "MALFORMED_QUERY",
            "Only equals comparisons permitted",
        ),
        (
            "SELECT Label FROM FieldDefinition WHERE EntityDefinitionId = 'Account' AND Label INCLUDES ('A')",
            "MALFORMED_QUERY",
            "Unsupported filter type",
        ),
        (
            "SELECT COUNT(QualifiedApiName), IsFeedEnabled FROM EntityDefinition GROUP BY IsFeedEnabled",
            "INVALID_OPERATION",
            STORAGE + "support for more information.",
        ),
    ],
)
async def test_definitions_take_less_soql(
    client: Client, root: str, text: str, code: str, message: str
) -> None:
    """With the messages of the guide."""
    status, (error,) = await asked(client, text, root)
    assert (status, error["errorCode"], error["message"]) == (400, code, message)


async def test_answer_has_one_page(client: Client) -> None:
    """A client that asks for smaller pages has to limit the query."""
    sandbox = client.sandbox
    for number in range(200):
        sandbox.org.schema.entity(f"T{number}__c")
    small = {"Sforce-Query-Options": "batchSize=200"}
    text = "SELECT Label FROM EntityDefinition"
    status, (error,) = await asked(client, text, headers=small)
    assert (status, error["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert error["message"] == (
        "EntityDefinition does not support queryMore(), use LIMIT to restrict the results to a single batch"
    )
    assert len(await found(client, f"{text} LIMIT 200", headers=small)) == 200
    assert len(await found(client, text)) > 200


async def test_definitions_show_what_the_user_can_read(client: Client, sandbox: Sandbox) -> None:
    """The Tooling API shows every field to a user who can view the setup, and nothing to others."""
    user = {"username": "reader@acme.example", "objects": {"Account": ["read"]}, "setup": "view"}
    user["hidden_fields"] = ["Account.Phone"]
    user_id = sandbox.users.put(User.model_validate(user))
    token = sandbox.tokens.issue(user_id=user_id, client_id="sandbox")
    own = {"Authorization": f"Bearer {token}"}
    phone = "SELECT Label FROM FieldDefinition WHERE EntityDefinitionId = 'Account' AND Label = 'Phone'"
    contact = "SELECT Label FROM EntityDefinition WHERE QualifiedApiName = 'Contact'"
    for text in (phone, contact):
        assert await found(client, text, headers=own) == []
        assert len(await found(client, text, "tooling/query", headers=own)) == 1
    sandbox.users.put(User.model_validate({**user, "setup": "none"}))
    assert (await asked(client, contact, "tooling/query", headers=own))[0] == 403


async def test_definitions_cannot_be_written(client: Client) -> None:
    """The list of Tooling objects names them."""
    _, listed = await client("GET", "tooling/sobjects")
    assert {"EntityDefinition", "FieldDefinition"} <= {each["name"] for each in listed["sobjects"]}
    for path in ("sobjects", "tooling/sobjects"):
        assert (await client("POST", f"{path}/EntityDefinition", {"Label": "X"}))[0] == 404
