"""A declared schema, as clients meet it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, read_schema
from tests.integration.sandbox.conftest import DATA, Client
from tests.integration.sandbox.test_describe import by_name, described

EXAMPLE = Path(__file__).parents[3] / "config" / "sandbox-schema.yaml"
INVOICE = {"Number__c": "1", "Amount__c": 5}
READER = {"username": "reader@acme.example", "objects": {"Account": ["read"]}}


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An org with the schema of the example."""
    settings = SandboxSettings(
        org=OrgSetup(schema=read_schema(EXAMPLE)), users=(User.model_validate(READER),)
    )
    async with Sandbox(clock, settings=settings) as running:
        yield running


@pytest.fixture
async def invoice(client: Client) -> dict[str, Any]:
    """The fields of an invoice that can be created."""
    _, account = await client("POST", "sobjects/Account", {"Name": "Acme", "ERP_Id__c": "E1"})
    return {**INVOICE, "Account__c": account["id"]}


def no_such_column(name: str, type_name: str) -> list[dict[str, str]]:
    """Return the body of the refusal of an unknown field."""
    message = f"No such column '{name}' on sobject of type {type_name}"
    return [{"message": message, "errorCode": "INVALID_FIELD"}]


async def test_an_unknown_field_is_refused_in_every_way_to_write(
    client: Client, invoice: dict[str, Any]
) -> None:
    """In records, upserts, collections, trees and composite calls, in the form of each."""
    wrong = {**invoice, "Nope__c": 1}
    refused = no_such_column("Nope__c", "Invoice__c")
    assert await client("POST", "sobjects/Invoice__c", wrong) == (400, refused)
    body = {"Account__c": invoice["Account__c"], "Nope__c": 1}
    assert await client("PATCH", "sobjects/Invoice__c/Number__c/1", body) == (400, refused)
    record = {"attributes": {"type": "Invoice__c", "referenceId": "one"}, **wrong}
    status, (result,) = await client("POST", "composite/sobjects", {"records": [record]})
    assert (status, result["success"], result["errors"][0]["statusCode"]) == (200, False, "INVALID_FIELD")
    status, tree = await client("POST", "composite/tree/Invoice__c", {"records": [record]})
    assert (status, tree["results"][0]["errors"][0]["statusCode"]) == (400, "INVALID_FIELD")
    part = {"method": "POST", "url": f"{DATA}/sobjects/Invoice__c", "referenceId": "one", "body": wrong}
    _, answer = await client("POST", "composite", {"compositeRequest": [part]})
    assert answer["compositeResponse"][0]["body"] == refused
    operation = {"op": "create", "type": "Invoice__c", "fields": wrong}
    status, answer = await client("POST", "/sandbox/transactions", {"operations": [operation]})
    assert (status, answer["code"]) == (400, "INVALID_FIELD")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT Nope__c FROM Invoice__c",
        "SELECT Id FROM Invoice__c WHERE Nope__c = 1",
        "SELECT Id FROM Invoice__c ORDER BY Nope__c",
        "SELECT Nope__r.Name FROM Invoice__c",
        "SELECT COUNT(Nope__c) FROM Invoice__c",
        "SELECT Account__r.Nope__c FROM Invoice__c",
    ],
)
async def test_an_unknown_field_is_refused_in_queries(client: Client, query: str) -> None:
    """Wherever it stands."""
    status, (error,) = await client("GET", f"query?q={query.replace(' ', '+')}")
    assert (status, error["errorCode"]) == (400, "INVALID_FIELD")


async def test_an_unknown_field_is_refused_where_it_is_read(client: Client, invoice: dict[str, Any]) -> None:
    """Of a record, and of a parent by an external id."""
    _, created = await client("POST", "sobjects/Invoice__c", invoice)
    path = f"sobjects/Invoice__c/{created['id']}?fields=Nope__c"
    assert await client("GET", path) == (400, no_such_column("Nope__c", "Invoice__c"))
    wrong = {**INVOICE, "Number__c": "2", "Account__r": {"Key__c": "E1"}}
    assert await client("POST", "sobjects/Invoice__c", wrong) == (400, no_such_column("Key__c", "Account"))
    unknown = {**invoice, "Buyer__r": {"attributes": {"type": "Bill__c"}, "Key__c": "E1"}}
    assert (await client("POST", "sobjects/Invoice__c", unknown))[1][0]["errorCode"] == "INVALID_FIELD"
    assert (await client("GET", "/sandbox/state"))[1]["records"] == {
        "Account": 1,
        "Invoice__c": 1,
        "Organization": 1,
        "Profile": 1,
        "User": 2,
    }


async def test_only_a_declared_external_id_finds_a_record(client: Client, invoice: dict[str, Any]) -> None:
    """In a path, in a collection, and in a reference."""
    assert (await client("POST", "sobjects/Invoice__c", {**invoice, "Status__c": "Sent"}))[0] == 201
    assert (await client("GET", "sobjects/Invoice__c/Status__c/Sent"))[0] == 404
    record = {"attributes": {"type": "Invoice__c"}, **invoice, "Status__c": "Sent"}
    upsert = "composite/sobjects/Invoice__c"
    assert (await client("PATCH", f"{upsert}/Status__c", {"records": [record]}))[0] == 404
    assert (await client("PATCH", f"{upsert}/Number__c", {"records": [record]}))[0] == 200
    fields = {
        "Bill__c": {"type": "reference", "to": "Invoice__c"},
    }
    _, schema = await client("GET", "/sandbox/schema")
    schema["objects"]["Line__c"] = {"fields": fields}
    await client("PUT", "/sandbox/schema", schema)
    by_status = {"Bill__r": {"Status__c": "Sent"}}
    refused = no_such_column("Status__c", "Invoice__c")
    assert await client("POST", "sobjects/Line__c", by_status) == (400, refused)
    assert (await client("POST", "sobjects/Line__c", {"Bill__r": {"Number__c": "1"}}))[0] == 201


async def test_a_hidden_external_id_finds_nothing(client: Client, sandbox: Sandbox) -> None:
    """As if the object did not have it."""
    await client("POST", "sobjects/Account", {"Name": "Acme", "ERP_Id__c": "E1"})
    user = sandbox.users.put(
        User(username="half@acme.example", hidden_fields=frozenset({"Account.ERP_Id__c", "Contact.Key__c"}))
    )
    headers = {"Authorization": f"Bearer {sandbox.tokens.issue(user_id=user, client_id='sandbox')}"}
    await client("POST", "sobjects/Contact", {"LastName": "Berg", "Key__c": "K1"})
    for path in ("sobjects/Account/ERP_Id__c/E1", "sobjects/Contact/Key__c/K1"):
        assert (await client("GET", path))[0] == 200
        assert (await client("GET", path, headers=headers))[0] == 404


async def test_a_parent_is_found_by_a_declared_external_id(client: Client, invoice: dict[str, Any]) -> None:
    """And its children under their declared name."""
    body = {**INVOICE, "Account__r": {"ERP_Id__c": "E1"}}
    assert (await client("PATCH", "sobjects/Invoice__c/Number__c/1", body))[1][0][
        "errorCode"
    ] == "INVALID_FIELD"
    del body["Number__c"]
    assert (await client("PATCH", "sobjects/Invoice__c/Number__c/1", body))[0] == 201
    query = "SELECT+Name,(SELECT+Number__c+FROM+Invoices__r)+FROM+Account"
    _, answer = await client("GET", f"query?q={query}")
    assert answer["records"][0]["Invoices__r"]["records"][0]["Number__c"] == "1"
    assert (await client("GET", "sobjects/Invoice__c/Number__c/1"))[1]["Account__c"] == invoice["Account__c"]


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        ({"Number__c": "1" * 21}, "STRING_TOO_LONG", ["Number__c"]),
        ({"Status__c": "Lost"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Status__c"]),
        ({"Account__c": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY", ["Account__c"]),
        ({"Number__c": None}, "REQUIRED_FIELD_MISSING", ["Number__c"]),
        ({"Amount__c": 1e10}, "NUMBER_OUTSIDE_VALID_RANGE", ["Amount__c"]),
        ({"Paid__c": 1}, "JSON_PARSER_ERROR", ["Paid__c"]),
    ],
)
async def test_a_value_that_does_not_fit_is_refused(
    client: Client, invoice: dict[str, Any], change: dict[str, Any], code: str, fields: list[str]
) -> None:
    """With the code of Salesforce and the field."""
    status, (error,) = await client("POST", "sobjects/Invoice__c", {**invoice, **change})
    assert (status, error["errorCode"], error["fields"]) == (400, code, fields)


async def test_a_unique_value_is_refused_twice_and_upserted(client: Client, invoice: dict[str, Any]) -> None:
    """The refusal names the record that has it."""
    _, created = await client("POST", "sobjects/Invoice__c", invoice)
    status, (error,) = await client("POST", "sobjects/Invoice__c", invoice)
    assert (status, error["errorCode"]) == (400, "DUPLICATE_VALUE")
    assert error["message"].endswith(f"duplicates value on record with id: {created['id'][:15]}")
    upserted = await client("PATCH", "sobjects/Invoice__c/Number__c/1", {"Amount__c": 6})
    assert upserted == (200, {"id": created["id"], "success": True, "errors": [], "created": False})


async def test_describes_show_what_is_declared(client: Client) -> None:
    """Labels, lengths, ids, picklists, references and children."""
    description = await described(client, "Invoice__c")
    fields = by_name(description)
    number, amount, status = fields["Number__c"], fields["Amount__c"], fields["Status__c"]
    assert (description["label"], number["label"]) == ("Invoice", "Number")
    assert [number[key] for key in ("length", "externalId", "idLookup", "unique", "nillable")] == [
        20,
        True,
        True,
        True,
        False,
    ]
    assert (amount["precision"], amount["scale"], amount["externalId"]) == (12, 2, False)
    assert (status["restrictedPicklist"], [each["value"] for each in status["picklistValues"]]) == (
        True,
        ["Draft", "Sent", "Paid"],
    )
    account = fields["Account__c"]
    assert (account["referenceTo"], account["relationshipName"]) == (["Account"], "Account__r")
    children = (await described(client, "Account"))["childRelationships"]
    (child,) = (each for each in children if each["childSObject"] == "Invoice__c")
    assert (child["relationshipName"], child["cascadeDelete"]) == ("Invoices__r", True)


async def test_describes_show_labels_and_digits(client: Client, clock: TurnedClock) -> None:
    """A new schema modifies them, for clients that ask for changes alone."""
    condition = {"If-Modified-Since": "Wed, 01 Jan 2025 00:00:30 GMT"}
    assert (await client("GET", "sobjects/Account/describe", headers=condition))[0] == 304
    await clock.turn(60)
    code = {"type": "string", "label": "Secret code", "unique": True, "case_sensitive": True}
    fields = {"Code__c": code, "Price__c": {"type": "double", "scale": 4}}
    await client("PUT", "/sandbox/schema", {"objects": {"Line__c": {"label": "Item", "fields": fields}}})
    assert (await client("GET", "sobjects/Account/describe", headers=condition))[0] == 200
    description = await described(client, "Line__c")
    told = by_name(description)
    assert (description["label"], told["Code__c"]["label"], told["Code__c"]["caseSensitive"]) == (
        "Item",
        "Secret code",
        True,
    )
    assert (told["Price__c"]["precision"], told["Price__c"]["scale"]) == (18, 4)


async def test_events_are_described_as_declared(client: Client) -> None:
    """Platform events and change events."""
    event = await described(client, "Order_Placed__e")
    number = by_name(event)["Order_No__c"]
    assert (event["label"], number["length"], number["nillable"], number["createable"]) == (
        "Order Placed",
        20,
        False,
        True,
    )
    change = by_name(await described(client, "Invoice__ChangeEvent"))
    assert (change["Number__c"]["length"], change["Status__c"]["restrictedPicklist"]) == (20, True)


async def test_an_event_is_refused_where_it_does_not_fit(client: Client) -> None:
    """Like a record, alone and in a collection."""
    wrong = {"Order_No__c": "1", "Nope__c": 1}
    refused = no_such_column("Nope__c", "Order_Placed__e")
    assert await client("POST", "sobjects/Order_Placed__e", wrong) == (400, refused)
    record = {"attributes": {"type": "Order_Placed__e"}, **wrong}
    _, (result,) = await client("POST", "composite/sobjects", {"records": [record]})
    assert result["errors"][0]["statusCode"] == "INVALID_FIELD"
    assert (await client("POST", "sobjects/Order_Placed__e", {"Order_No__c": "1"}))[0] == 201


async def test_event_schemas_are_served_by_name_and_by_id(client: Client) -> None:
    """Messages carry the same id, and it leads to the same schema."""
    await client("POST", "sobjects/Order_Placed__e", {"Order_No__c": "1"})
    (message,) = client.sandbox.bus.after("/event/Order_Placed__e", 0)
    status, named = await client("GET", "sobjects/Order_Placed__e/eventSchema")
    assert (status, named["type"]) == (200, "expanded-record")
    assert f'"schema":"{named["uuid"]}"'.encode() in message.data
    assert await client("GET", f"event/eventSchema/{named['uuid']}") == (200, named)
    status, compact = await client("GET", f"event/eventSchema/{named['uuid']}?payloadFormat=COMPACT")
    assert (status, compact["type"], compact["uuid"]) == (200, "record", named["uuid"])
    assert [field["name"] for field in compact["fields"]][2:4] == ["Order_No__c", "Amount__c"]


async def test_change_events_have_schemas_too(client: Client, invoice: dict[str, Any]) -> None:
    """Of declared objects and of others."""
    await client("POST", "sobjects/Invoice__c", invoice)
    for name, path in (("Invoice__ChangeEvent", "/data/Invoice__ChangeEvent"), ("ContactChangeEvent", None)):
        status, schema = await client("GET", f"sobjects/{name}/eventSchema?payloadFormat=COMPACT")
        assert (status, schema["name"], schema["fields"][0]["name"]) == (200, name, "ChangeEventHeader")
        if path is not None:
            assert schema["uuid"].encode() in client.sandbox.bus.after(path, 0)[-1].data


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("sobjects/Order_Placed__e/eventSchema?payloadFormat=SMALL", 400),
        ("sobjects/Account/eventSchema", 404),
        ("sobjects/NopeChangeEvent/eventSchema", 404),
        ("sobjects/Paid__e/eventSchema", 404),
        ("event/eventSchema/nope", 404),
    ],
)
async def test_a_schema_that_does_not_exist_is_refused(client: Client, path: str, status: int) -> None:
    """And so is a format that does not exist."""
    assert (await client("GET", path))[0] == status


async def test_a_schema_is_hidden_with_its_event(client: Client, sandbox: Sandbox) -> None:
    """By name and by id."""
    _, schema = await client("GET", "sobjects/Order_Placed__e/eventSchema")
    user = sandbox.users.id_of("reader@acme.example")
    assert user is not None
    token = sandbox.tokens.issue(user_id=user, client_id="sandbox")
    headers = {"Authorization": f"Bearer {token}"}
    for path in (
        "sobjects/Order_Placed__e/eventSchema",
        "sobjects/Invoice__ChangeEvent/eventSchema",
        f"event/eventSchema/{schema['uuid']}",
    ):
        assert (await client("GET", path, headers=headers))[0] == 404
    assert (await client("GET", "sobjects/AccountChangeEvent/eventSchema", headers=headers))[0] == 200


async def test_the_schema_is_read_and_replaced_at_run_time(client: Client, invoice: dict[str, Any]) -> None:
    """The schema that was read can be put back; describes and ids follow at once."""
    status, schema = await client("GET", "/sandbox/schema")
    assert (status, schema["objects"]["Invoice__c"]["fields"]["Due__c"]) == (200, {"type": "date"})
    _, before = await client("GET", "sobjects/Order_Placed__e/eventSchema")
    schema["events"]["Order_Placed__e"]["fields"]["New__c"] = {"type": "boolean"}
    schema["objects"]["Invoice__c"]["fields"]["Number__c"]["length"] = 40
    assert await client("PUT", "/sandbox/schema", schema) == (200, schema)
    assert by_name(await described(client, "Invoice__c"))["Number__c"]["length"] == 40
    assert (await client("POST", "sobjects/Invoice__c", {**invoice, "Number__c": "1" * 40}))[0] == 201
    _, after = await client("GET", "sobjects/Order_Placed__e/eventSchema")
    assert after["uuid"] != before["uuid"]
    assert await client("GET", f"event/eventSchema/{before['uuid']}") == (200, before)
    assert await client("PUT", "/sandbox/schema", {}) == (200, {})
    assert (await client("POST", "sobjects/Invoice__c", {"Any__c": 1}))[0] == 201


async def test_a_schema_with_mistakes_changes_nothing(client: Client) -> None:
    """All of them are named."""
    _, before = await client("GET", "/sandbox/schema")
    wrong = {"objects": {"Line__c": {"fields": {"X__c": "txet"}}}, "events": {"Paid": {}}}
    status, answer = await client("PUT", "/sandbox/schema", wrong)
    assert status == 400
    assert [line.partition(": ")[0] for line in answer["error"].splitlines()] == [
        "objects.Line__c.fields.X__c.type",
        "events.Paid",
    ]
    assert await client("GET", "/sandbox/schema") == (200, before)


async def test_a_page_of_another_site_cannot_replace_the_schema(client: Client) -> None:
    """Like every other control call."""
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert (await client("PUT", "/sandbox/schema", {}, headers=headers))[0] == 403


async def test_a_multi_select_picklist_is_searched_by_its_values(client: Client) -> None:
    """A field declared as a string cannot be searched that way; an undeclared text field can."""
    fields = {"Tags__c": {"type": "multipicklist", "values": ["A", "B", "C"]}, "Text__c": "string"}
    await client("PUT", "/sandbox/schema", {"objects": {"Line__c": {"fields": fields}}})
    await client("POST", "sobjects/Line__c", {"Tags__c": "A;B", "Text__c": "A;B"})
    for field, status in (("Tags__c", 200), ("Text__c", 400)):
        query = f"SELECT+Id+FROM+Line__c+WHERE+{field}+INCLUDES+('A')"
        assert (await client("GET", f"query?q={query}"))[0] == status
