"""Aggregate queries over groups of records."""

from typing import Any

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

BY_INDUSTRY = "FROM Account GROUP BY Industry"


@pytest.fixture
def accounts(world: OrgWorld) -> OrgWorld:
    """Two accounts of one industry, one of another, one of none."""
    world.create("Account", Name="Acme", AnnualRevenue=100, NumberOfEmployees=7, Industry="Energy")
    world.create("Account", Name="Bolt", AnnualRevenue=50, NumberOfEmployees=8, Industry="energy")
    world.create("Account", Name="Cargo", AnnualRevenue=75.5, Industry="Retail")
    world.create("Account", Name="Acme")
    return world


def rows(world: OrgWorld, text: str) -> list[dict[str, Any]]:
    """Return the rows of an aggregate query without their attributes."""
    found = world.query(text).rows()
    assert all(row.pop("attributes") == {"type": "AggregateResult"} for row in found)
    return found


def test_functions_of_all_records_make_one_row(accounts: OrgWorld) -> None:
    """Missing values count for nothing, and a column without an alias is numbered."""
    some = "SELECT COUNT(Id), count(Industry), COUNT_DISTINCT(Name) names, SUM(AnnualRevenue)"
    (row,) = rows(accounts, f"{some}, AVG(NumberOfEmployees) mean, MAX(Name) FROM Account")
    assert row == {"expr0": 4, "expr1": 3, "names": 3, "expr2": 225.5, "mean": 7.5, "expr3": "Cargo"}


@pytest.mark.parametrize(
    ("function", "value"), [("SELECT COUNT", 0), ("SELECT SUM", None), ("SELECT MIN", None)]
)
def test_functions_of_no_records_make_one_row(world: OrgWorld, function: str, value: object) -> None:
    """Only a count has a value then."""
    assert rows(world, f"{function}(AnnualRevenue) x FROM Account") == [{"x": value}]


def test_each_group_is_a_row(accounts: OrgWorld) -> None:
    """Letter case makes no group of its own, a missing value does."""
    found = rows(accounts, f"SELECT Industry, SUM(AnnualRevenue) sum {BY_INDUSTRY} ORDER BY Industry")
    assert found == [
        {"Industry": None, "sum": None},
        {"Industry": "Energy", "sum": 150.0},
        {"Industry": "Retail", "sum": 75.5},
    ]


def test_groups_are_filtered_sorted_and_limited(accounts: OrgWorld) -> None:
    """HAVING and ORDER BY take functions and what is grouped by."""
    having = "HAVING COUNT(Id) > 0 AND Industry != null"
    order = "ORDER BY MAX(AnnualRevenue) DESC NULLS LAST LIMIT 1"
    assert rows(accounts, f"SELECT Industry i {BY_INDUSTRY} {having} {order}") == [{"i": "Energy"}]


def test_records_are_grouped_by_a_part_of_their_time(accounts: OrgWorld) -> None:
    """A date function is selected and grouped by."""
    text = "SELECT CALENDAR_YEAR(CreatedDate), COUNT(Id) FROM Account GROUP BY CALENDAR_YEAR(CreatedDate)"
    assert rows(accounts, text) == [{"expr0": 2025, "expr1": 4}]


def test_records_are_grouped_by_a_parents_field(accounts: OrgWorld) -> None:
    """The column has the field's name."""
    owner = "SELECT Owner.Username, COUNT(Id) n FROM Account GROUP BY Owner.Username"
    assert rows(accounts, owner) == [{"Username": "bus@sandbox.example", "n": 4}]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("SELECT Name, COUNT(Id) FROM Account", "Field must be grouped or aggregated: Name"),
        (f"SELECT Name {BY_INDUSTRY}", "Field must be grouped or aggregated: Name"),
        (f"SELECT Industry {BY_INDUSTRY} ORDER BY Name", "Field must be grouped or aggregated: Name"),
        ("SELECT SUM(Name) FROM Account", "field Name does not support aggregate operator SUM"),
        (
            "SELECT COUNT(Id) FROM Account GROUP BY Description",
            "field 'Description' can not be grouped in a query call",
        ),
        ("SELECT Name n FROM Account", "only aggregate expressions use field aliasing"),
        ("SELECT COUNT(Id) n, MIN(Name) n FROM Account", "duplicate alias: n"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "unexpected token: '('"),
        ("SELECT Id FROM Account HAVING Name = 'Acme'", "unexpected token: 'HAVING'"),
        ("SELECT COUNT() FROM Account GROUP BY Industry", "COUNT() can't be grouped; COUNT(Id) can"),
        ("SELECT SQUARE(Id) FROM Account", "the function SQUARE is not supported"),
    ],
)
def test_what_is_no_group_is_refused(accounts: OrgWorld, text: str, sentence: str) -> None:
    """With its place in the query."""
    with pytest.raises(Refused) as caught:
        accounts.query(text)
    assert (caught.value.code, caught.value.message.split("\n")[-1]) == ("MALFORMED_QUERY", sentence)
    assert "ERROR at Row:1:Column:" in caught.value.message
