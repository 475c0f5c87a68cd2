"""Declared fields take only what is declared."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

Refusal = Callable[..., Refused]


@pytest.mark.parametrize(
    ("field", "value", "code", "message"),
    [
        ("Nope__c", 1, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Invoice__c"),
        (
            "Number__c",
            "123456789",
            "STRING_TOO_LONG",
            "Number: data value too large: 123456789 (max length=8)",
        ),
        (
            "Code__c",
            "x" * 256,
            "STRING_TOO_LONG",
            f"Code: data value too large: {'x' * 255} (max length=255)",
        ),
        (
            "Status__c",
            "Lost",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Invoice status: bad value for restricted picklist field: Lost",
        ),
        (
            "Tags__c",
            "A;C",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Tags: bad value for restricted picklist field: C",
        ),
        (
            "Amount__c",
            10_000,
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Amount: value outside of valid range on numeric field: 10000",
        ),
        ("Lines__c", 1.5, "INVALID_TYPE_ON_FIELD_IN_RECORD", "Lines: value not of required type: 1.5"),
        (
            "Amount__c",
            "much",
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of currency from VALUE_STRING value much",
        ),
        (
            "Due__c",
            "2025-02-30",
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of date from VALUE_STRING value 2025-02-30",
        ),
        (
            "Paid__c",
            "yes",
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of boolean from VALUE_STRING value yes",
        ),
        ("Number__c", None, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Number__c]"),
        (
            "Account__c",
            "003000000000001AAA",
            "FIELD_INTEGRITY_EXCEPTION",
            "Account: id value of incorrect type: 003000000000001AAA",
        ),
        ("Account__c", "001000000000001AAA", "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ("Account__c", "acme", "MALFORMED_ID", "Account__c: id value of incorrect type: acme"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    world: OrgWorld, refusal: Refusal, field: str, value: Any, code: str, message: str
) -> None:
    """On creation and on update alike, with the field; nothing is stored or announced."""
    invoice = world.create("Invoice__c", Number__c="1")
    refused = [
        refusal(world.create, "Invoice__c", **{"Number__c": "2", field: value}),
        refusal(world.update, "Invoice__c", invoice, **{field: value}),
    ]
    assert [(each.code, each.message) for each in refused] == [(code, message)] * 2
    if code != "INVALID_FIELD":
        assert refused[0].fields == (field,)
    assert world.org.published == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Number__c", "12345678"),
        ("Amount__c", 9999.99),
        ("Lines__c", 2.0),
        ("Due__c", "2025-02-28"),
        ("Status__c", "Sent"),
        ("Kind__c", "Other"),
        ("Tags__c", "B;A"),
        ("Remarks__c", "x" * 32_000),
        ("Status__c", None),
    ],
)
def test_a_value_that_fits_is_stored(world: OrgWorld, field: str, value: Any) -> None:
    """Up to the longest and the greatest; a picklist that is not restricted takes any."""
    invoice = world.create("Invoice__c", **{"Number__c": "1", field: value})
    assert world.org.retrieve("Invoice__c", invoice)[field] == value


def test_a_reference_leads_to_a_record_that_is_not_deleted(world: OrgWorld, refusal: Refusal) -> None:
    """Of one of the declared objects."""
    account, contact = world.create("Account", Name="A"), world.create("Contact", LastName="B")
    world.create("Invoice__c", Number__c="1", Account__c=account, Payer__c=contact)
    assert refusal(world.create, "Invoice__c", Number__c="2", Account__c=contact).fields == ("Account__c",)
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    refused = refusal(world.create, "Invoice__c", Number__c="3", Payer__c=account)
    assert refused.code == "INVALID_CROSS_REFERENCE_KEY"


def test_a_unique_value_belongs_to_one_record(world: OrgWorld, refusal: Refusal) -> None:
    """In any letter case unless that counts; a record may repeat its own, and a deleted one has none."""
    first = world.create("Invoice__c", Number__c="a", Code__c="a")
    world.create("Invoice__c", Number__c="b", Code__c="A")
    world.create("Invoice__c", Number__c="c", Batch__c="same")
    world.create("Invoice__c", Number__c="d", Batch__c="same")
    message = f"duplicate value found: Number__c duplicates value on record with id: {first[:15]}"
    for refused in (
        refusal(world.create, "Invoice__c", Number__c="A"),
        refusal(world.create, "Invoice__c", Number__c="e", Code__c="a"),
    ):
        assert refused.code == "DUPLICATE_VALUE"
    assert refusal(world.create, "Invoice__c", Number__c="A").message == message
    world.update("Invoice__c", first, Number__c="a", Amount__c=1)
    with world.org.transaction() as transaction:
        transaction.delete("Invoice__c", first)
    world.create("Invoice__c", Number__c="a")


def test_values_in_one_transaction_are_compared_too(world: OrgWorld, refusal: Refusal) -> None:
    """Before anything is announced."""

    def twice() -> None:
        with world.org.transaction() as transaction:
            transaction.create("Invoice__c", {"Number__c": "1"})
            transaction.create("Invoice__c", {"Number__c": "1"})

    assert refusal(twice).code == "DUPLICATE_VALUE"
    assert world.org.published == 0


def test_only_an_external_id_finds_a_record_to_upsert(world: OrgWorld, refusal: Refusal) -> None:
    """Another declared field does not; an undeclared object takes any."""

    def upsert(type_name: str, key: str, **fields: Any) -> tuple[str, bool]:
        with world.org.transaction() as transaction:
            return transaction.upsert(type_name, key, fields)

    created, updated = (upsert("Invoice__c", "number__c", number__c="1", Amount__c=n) for n in (1, 2))
    assert (created[1], updated) == (True, (created[0], False))
    refused = refusal(upsert, "Invoice__c", "Code__c", Code__c="1", Number__c="2")
    assert (refused.code, refused.status) == ("NOT_FOUND", 404)
    assert upsert("Bill__c", "Any__c", Any__c="1")[1]


def test_a_standard_field_is_enforced_where_it_is_repeated(
    declared: Callable[..., OrgWorld], refusal: Refusal
) -> None:
    """Its type is Salesforce's; other standard fields are as strict as without a schema."""
    fields = {"Industry": {"values": ["Energy"]}, "Phone": {"required": True}, "ParentId": {}}
    world = declared(objects={"Account": {"fields": fields}})
    assert refusal(world.create, "Account", Name="A").fields == ("Phone",)
    assert refusal(world.create, "Account", Name="A", Phone="1", Industry="Art").fields == ("Industry",)
    contact = world.create("Contact", LastName="B", Title="Any")
    assert refusal(world.create, "Account", Name="A", Phone="1", ParentId=contact).fields == ("ParentId",)
    world.create("Account", Name="A", Phone="1", Industry="Energy", Rating="Any")


@pytest.mark.parametrize(
    ("type_name", "fields", "code"),
    [
        ("Account", {"Name": "A" * 256}, "STRING_TOO_LONG"),
        ("Invoice__c", {"Name": "A" * 81}, "STRING_TOO_LONG"),
        ("Account", {"Name": "A", "BillingCity": "A" * 41}, "STRING_TOO_LONG"),
        ("Account", {"Name": "A", "Description": "A" * 32_001}, "STRING_TOO_LONG"),
        ("Account", {"Name": "A", "ParentId": "001000000000001AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Account", {"Name": "A", "ParentId": "005Sb0000000001IAA"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Contact", {"LastName": "B", "Email": "ida at acme"}, "INVALID_EMAIL_ADDRESS"),
        ("Contact", {"LastName": "B" * 81}, "STRING_TOO_LONG"),
        ("Opportunity", {"Name": "A", "StageName": "New", "CloseDate": "2025-02-30"}, "JSON_PARSER_ERROR"),
        (
            "Opportunity",
            {"Name": "A" * 121, "StageName": "New", "CloseDate": "2025-02-28"},
            "STRING_TOO_LONG",
        ),
        ("User", {"Username": "BUS@sandbox.example"}, "DUPLICATE_USERNAME"),
    ],
)
def test_standard_field_is_checked_without_a_schema(
    world: OrgWorld, refusal: Refusal, type_name: str, fields: dict[str, Any], code: str
) -> None:
    """As an org does it; a value that just fits is taken."""
    assert refusal(world.create, type_name, **fields).code == code
    world.create("Account", Name="A" * 255, BillingCity="A" * 40, Description="A" * 32_000)
    world.create("Contact", LastName="B" * 80, Email="ida@acme.example")


def test_what_is_not_declared_is_as_free_as_without_a_schema(world: OrgWorld) -> None:
    """Objects, fields of other objects, and events come into being at their first use."""
    bill = world.create("Bill__c", Amount__c="text", Account__c="x" * 300)
    world.create("Account", Name="A", New__c=1)
    world.org.publish_platform_event("Paid__e", {"Any__c": 1})
    assert world.org.retrieve("Bill__c", bill)["Amount__c"] == "text"


def test_a_closed_schema_knows_nothing_else(declared: Callable[..., OrgWorld], refusal: Refusal) -> None:
    """No other custom object, field or event."""
    world = declared(closed=True)
    world.create("Account", Name="A")
    assert refusal(world.create, "Bill__c", Name="B").code == "NOT_FOUND"
    assert refusal(world.create, "Account", Name="A", New__c=1).code == "INVALID_FIELD"
    assert refusal(world.org.publish_platform_event, "Paid__e", {}).code == "NOT_FOUND"
