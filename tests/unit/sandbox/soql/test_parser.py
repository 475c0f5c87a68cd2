"""Queries, from their text to the records."""

from typing import Any

import orjson
import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

NAMES = "SELECT Name FROM Account"


@pytest.fixture
def accounts(world: OrgWorld) -> OrgWorld:
    """An org with three accounts and a contact of the first."""
    first = world.create("Account", Name="Acme", AnnualRevenue=100, Industry="Energy", Colours__c="Blue;Red")
    world.create("Account", Name="Bolt's", AnnualRevenue=50)
    gone = world.create("Account", Name="Cargo", AnnualRevenue=75, Industry="Retail")
    world.create("Contact", LastName="Berg", FirstName="Ida", AccountId=first)
    with world.org.transaction() as transaction:
        transaction.delete("Account", gone)
    return world


def rows(world: OrgWorld, text: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
    """Run a query."""
    return world.query(text, include_deleted=include_deleted).rows()


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("Name = 'acme'", ["Acme"]),
        ("Name != 'Acme'", ["Bolt's"]),
        (r"Name = 'Bolt\'s'", ["Bolt's"]),
        ("AnnualRevenue > 50", ["Acme"]),
        ("AnnualRevenue >= 50 AND Industry = null", ["Bolt's"]),
        ("Industry = 'Energy' OR AnnualRevenue < 60", ["Acme", "Bolt's"]),
        ("(Industry = 'Retail' OR Industry = 'Energy') AND AnnualRevenue = 100", ["Acme"]),
        ("NOT Industry = 'Energy'", ["Bolt's"]),
        ("Name LIKE 'b%'", ["Bolt's"]),
        ("Name LIKE 'Acm_'", ["Acme"]),
        ("Industry IN ('Energy', 'Retail')", ["Acme"]),
        ("Industry NOT IN ('Energy')", ["Bolt's"]),
        ("isdeleted = false AND SystemModstamp >= 2025-01-01T00:00:00Z", ["Acme", "Bolt's"]),
        ("LastModifiedDate < 2025-01-01T01:00:00+01:00", []),
        ("Number__c = null", ["Acme", "Bolt's"]),
        ("CreatedDate = TODAY AND LastModifiedDate > LAST_N_DAYS:3", []),
        ("CreatedDate = YESTERDAY", []),
        ("CreatedDate = today", ["Acme", "Bolt's"]),
        ("CreatedDate >= THIS_MONTH AND CreatedDate <= TODAY", ["Acme", "Bolt's"]),
        ("CreatedDate < TODAY OR CreatedDate > TODAY OR CreatedDate != TODAY", []),
        ("CreatedDate IN (YESTERDAY, TODAY)", ["Acme", "Bolt's"]),
        ("HOUR_IN_DAY(CreatedDate) = 0", ["Acme", "Bolt's"]),
        (r"Name LIKE 'Acm\_' OR Name LIKE '%\'_'", ["Bolt's"]),
        ("Colours__c INCLUDES ('red;blue', 'green')", ["Acme"]),
        ("Colours__c INCLUDES ('red;green')", []),
        ("Colours__c EXCLUDES ('red')", ["Bolt's"]),
    ],
)
def test_a_condition_selects_records(accounts: OrgWorld, condition: str, names: list[str]) -> None:
    """Text is compared without case, missing values are null, deleted records are left out."""
    found = rows(accounts, f"{NAMES} WHERE {condition} ORDER BY Name")
    assert [row["Name"] for row in found] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("AnnualRevenue", ["Bolt's", "Cargo", "Acme"]),
        ("AnnualRevenue DESC LIMIT 2", ["Acme", "Cargo"]),
        ("Industry, Name", ["Bolt's", "Acme", "Cargo"]),
        ("Industry DESC NULLS LAST", ["Cargo", "Acme", "Bolt's"]),
        ("Name LIMIT 1 OFFSET 1", ["Bolt's"]),
    ],
)
def test_records_come_in_the_order_asked_for(accounts: OrgWorld, order: str, names: list[str]) -> None:
    """Nulls come first unless NULLS LAST is given; deleted records are included on demand."""
    found = rows(accounts, f"{NAMES} ORDER BY {order}", include_deleted=True)
    assert [row["Name"] for row in found] == names


def test_a_parents_field_is_nested(accounts: OrgWorld) -> None:
    """A relationship leads to its record, and a person's name is composed of its parts."""
    (row,) = rows(
        accounts, "SELECT Name, Account.Name, ReportsTo.Name FROM Contact WHERE Account.Name = 'Acme'"
    )
    assert row["Name"] == "Ida Berg"
    assert row["Account"]["Name"] == "Acme"
    assert row["ReportsTo"] is None


def test_a_type_can_have_an_alias(accounts: OrgWorld) -> None:
    """Its name is then the first part of the fields' names."""
    found = rows(accounts, "SELECT a.Name FROM Account a WHERE a.AnnualRevenue = 50")
    assert [row["Name"] for row in found] == ["Bolt's"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("SELECT AnnualRevenue", b"100.0"),
        ("SELECT NumberOfEmployees", b"7"),
        ("SELECT CreatedDate", b'"2025-01-01T00:00:00.000+0000"'),
    ],
)
def test_values_are_written_as_salesforce_does(world: OrgWorld, field: str, value: bytes) -> None:
    """A number that can have decimals has one, and a time has milliseconds and an offset."""
    world.create("Account", Name="Acme", AnnualRevenue=100, NumberOfEmployees=7)
    (row,) = rows(world, f"{field} FROM Account")
    assert orjson.dumps(row[field.removeprefix("SELECT ")]) == value


def test_count_counts(accounts: OrgWorld) -> None:
    """COUNT() gives a number and no records."""
    assert accounts.query("select count() from Account").count() == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MALFORMED_QUERY"),
        ("SELECT Name", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account LIMIT many", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = 'open", "MALFORMED_QUERY"),
        (f"{NAMES} WHERE {'(' * 60}Name = 'a'{')' * 60}", "MALFORMED_QUERY"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Nope = 1", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE CreatedDate > '2025-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE CreatedDate > 2025-01-01", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Name = 7", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE AnnualRevenue = '7'", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Id LIKE '001%'", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Industry INCLUDES ('a')", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE CreatedDate = LAST_N_YEARS:99999", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE CreatedDate = LAST_N_CENTURIES:9", "MALFORMED_QUERY"),
        (f"{NAMES} LIMIT {'9' * 5000}", "MALFORMED_QUERY"),
        (f"{NAMES} WHERE {'NOT ' * 5000}Name = 'a'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE BillingAddress IN ('Oslo')", "INVALID_FIELD"),
        ("SELECT Name FROM Account ORDER BY ShippingAddress", "INVALID_FIELD"),
        ("SELECT Name FROM Nope", "INVALID_TYPE"),
        ("SELECT Name FROM Account LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(accounts: OrgWorld, text: str, code: str) -> None:
    """The refusal has the code that Salesforce gives."""
    with pytest.raises(Refused) as caught:
        rows(accounts, text)
    assert caught.value.code == code
