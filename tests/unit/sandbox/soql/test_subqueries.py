"""Subqueries: the children of each record, and semi-joins."""

from typing import Any

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

ACCOUNTS = "SELECT Name FROM Account"


@pytest.fixture
def family(world: OrgWorld) -> OrgWorld:
    """Two accounts; one has three contacts, one of them deleted."""
    first = world.create("Account", Name="Acme")
    world.create("Account", Name="Bolt")
    for name in ("Berg", "Aas", "Gone"):
        contact = world.create("Contact", LastName=name, AccountId=first)
    with world.org.transaction() as transaction:
        transaction.delete("Contact", contact)
    world.create("Contact", LastName="Alone")
    return world


def names(world: OrgWorld, text: str, *, include_deleted: bool = False) -> list[Any]:
    """Return the names in the rows of a query."""
    return [row["Name"] for row in world.query(text, include_deleted=include_deleted).rows()]


def test_children_are_listed_in_their_parents(family: OrgWorld) -> None:
    """As the answer to a query of its own, and null where there are none."""
    text = "SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName) FROM Account ORDER BY Name"
    acme, bolt = family.query(text).rows()
    assert bolt["Contacts"] is None
    assert (acme["Contacts"]["totalSize"], acme["Contacts"]["done"]) == (2, True)
    assert [row["LastName"] for row in acme["Contacts"]["records"]] == ["Aas", "Berg"]
    assert acme["Contacts"]["records"][0]["attributes"]["type"] == "Contact"


def test_a_limit_holds_for_the_children_of_each_parent(family: OrgWorld) -> None:
    """Beside a condition of the subquery's own; deleted children are listed on demand."""
    text = "SELECT (SELECT Id FROM Account.contacts c WHERE c.LastName > 'A' LIMIT {}) FROM Account LIMIT 1"
    (one,) = family.query(text.format(1)).rows()
    (more,) = family.query(text.format(9), include_deleted=True).rows()
    assert [len(row["Contacts"]["records"]) for row in (one, more)] == [1, 3]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("Id IN (SELECT AccountId FROM Contact)", ["Acme"]),
        ("Id NOT IN (SELECT AccountId FROM Contact)", ["Bolt"]),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Alone')", []),
        ("Id NOT IN (SELECT AccountId FROM Contact) AND Name LIKE 'b%'", ["Bolt"]),
        ("OwnerId IN (SELECT Id FROM User)", ["Acme", "Bolt"]),
    ],
)
def test_a_semi_join_selects_by_other_records(family: OrgWorld, condition: str, found: list[str]) -> None:
    """Empty references and deleted records match nothing."""
    assert names(family, f"{ACCOUNTS} WHERE {condition} ORDER BY Name") == found


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        (
            "SELECT (SELECT Id FROM Nopes) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nopes'",
        ),
        ("SELECT (SELECT Nope FROM Contacts) FROM Account", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT (SELECT COUNT() FROM Contacts) FROM Account", "MALFORMED_QUERY", "A subquery in a SELECT"),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT LastName FROM Contact)",
            "MALFORMED_QUERY",
            "semi join sub-selects can only query id fields",
        ),
        (
            "SELECT Id FROM Account WHERE Name IN (SELECT AccountId FROM Contact)",
            "MALFORMED_QUERY",
            "The left operand of a semi join",
        ),
        (
            "SELECT Id FROM Account WHERE ParentId IN (SELECT Id FROM Account)",
            "MALFORMED_QUERY",
            "The inner and outer selects should not be on the same object type",
        ),
        (
            "SELECT Id FROM Account WHERE Name = 'a' OR Id IN (SELECT AccountId FROM Contact)",
            "MALFORMED_QUERY",
            "Semi join sub-selects are not allowed with the 'OR' operator",
        ),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1)",
            "MALFORMED_QUERY",
            "A semi join sub-select can only select one field by conditions",
        ),
        (
            "SELECT Nope.Name FROM Contact",
            "INVALID_FIELD",
            "Didn't understand relationship 'Nope' in field path",
        ),
    ],
)
def test_a_relationship_that_makes_no_sense_is_refused(
    family: OrgWorld, text: str, code: str, sentence: str
) -> None:
    """With its place in the whole query."""
    with pytest.raises(Refused) as caught:
        family.query(text)
    assert caught.value.code == code
    place, said = caught.value.message.split("\n")[-2:]
    assert said.startswith(sentence)
    assert place.startswith("ERROR at Row:1:Column:")
