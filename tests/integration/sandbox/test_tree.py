"""Trees of records in one call."""

from typing import Any

import pytest

from tests.integration.sandbox.conftest import Client


def record(type_name: str, reference: str, **fields: Any) -> dict[str, Any]:
    """Return a record of a tree."""
    return {"attributes": {"type": type_name, "referenceId": reference}, **fields}


def chain(depth: int) -> dict[str, Any]:
    """Return an account with an account below it, and so on."""
    below = {"ChildAccounts": {"records": [chain(depth - 1)]}} if depth > 1 else {}
    return record("Account", f"level{depth}", Name="A", **below)


async def test_parents_are_created_with_their_children(client: Client) -> None:
    """Level by level, and in one transaction."""
    contacts = [record("Contact", "ref2", lastname="Smith"), record("Contact", "ref3", lastname="Evans")]
    parent = record("Account", "ref1", name="A", numberOfEmployees="100", Contacts={"records": contacts})
    records = [parent, record("Account", "ref4", name="B")]
    status, answer = await client("POST", "composite/tree/Account", {"records": records})
    assert (status, answer["hasErrors"]) == (201, False)
    assert [each["referenceId"] for each in answer["results"]] == ["ref1", "ref4", "ref2", "ref3"]
    _, query = await client("GET", "query?q=SELECT+Account.Name+FROM+Contact")
    assert [row["Account"]["Name"] for row in query["records"]] == ["A", "A"]
    _, query = await client("GET", "query?q=SELECT+Name+FROM+Account+WHERE+NumberOfEmployees=100")
    assert [row["Name"] for row in query["records"]] == ["A"]


async def test_one_bad_record_undoes_all(client: Client) -> None:
    """The answer names it alone."""
    contacts = [record("Contact", "bad", Nope=1)]
    records = [record("Account", "ref1", Name="A", Contacts={"records": contacts})]
    status, answer = await client("POST", "composite/tree/Account", {"records": records})
    (result,) = answer["results"]
    assert (status, answer["hasErrors"], result["referenceId"]) == (400, True, "bad")
    assert result["errors"][0]["statusCode"] == "INVALID_FIELD"
    assert client.sandbox.org.published == 0


@pytest.mark.parametrize(
    "records",
    [
        [record("Contact", "ref1", LastName="Berg")],
        [record("Account", "same", Name="A"), record("Account", "same", Name="B")],
        [record("Account", f"ref{number}", Name="A") for number in range(201)],
        [{"attributes": {"type": "Account"}, "Name": "A"}],
        [chain(6)],
    ],
    ids=["other type", "same reference", "too many", "no reference", "too deep"],
)
async def test_a_tree_has_limits(client: Client, records: list[dict[str, Any]]) -> None:
    """Beyond them nothing is created."""
    status, _ = await client("POST", "composite/tree/Account", {"records": records})
    assert (status, client.sandbox.org.published) == (400, 0)


async def test_five_levels_fit(client: Client) -> None:
    """Each below the other."""
    status, answer = await client("POST", "composite/tree/Account", {"records": [chain(5)]})
    assert (status, len(answer["results"])) == (201, 5)
