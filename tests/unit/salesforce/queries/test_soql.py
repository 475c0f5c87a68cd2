"""Queries for records, as texts."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.ports import RecordQuery
from streamer.salesforce.queries.soql import count_of, page_of, pages_fit, whole_of

QUERY = RecordQuery(entity="Account", fields=("Id", "Name"), where="A = 'x' OR B = 1")
AFTER = "001000000000001AAA"


def test_condition_is_put_between_brackets() -> None:
    """The query's own conditions bind more than its OR."""
    assert whole_of(QUERY) == "SELECT Id, Name FROM Account WHERE (A = 'x' OR B = 1)"
    assert count_of(QUERY) == "SELECT COUNT() FROM Account WHERE (A = 'x' OR B = 1)"
    assert page_of(QUERY, AFTER, 9) == (
        "SELECT Id, Name FROM Account WHERE (A = 'x' OR B = 1) AND Id > '001000000000001AAA' "
        "ORDER BY Id LIMIT 9"
    )


def test_query_without_a_condition() -> None:
    """The first page has none at all."""
    every = replace(QUERY, where="")

    assert whole_of(every) == "SELECT Id, Name FROM Account"
    assert page_of(every, None, 9) == "SELECT Id, Name FROM Account ORDER BY Id LIMIT 9"
    assert page_of(every, AFTER, 9) == (
        "SELECT Id, Name FROM Account WHERE Id > '001000000000001AAA' ORDER BY Id LIMIT 9"
    )


@pytest.mark.parametrize(
    "where",
    [
        "A = '(' AND (B = 1)",
        r"A = 'it\'s :)' AND B = 1",
        r"A = 'a\\' AND (B = 1 OR (C = 2))",
        "Id IN (SELECT AccountId FROM Contact WHERE Name = 'x')",
        "wherever__c = 1",
    ],
)
def test_condition_that_ends_where_it_ends(where: str) -> None:
    """Brackets within texts do not count."""
    assert replace(QUERY, where=where).where == where


@pytest.mark.parametrize(
    ("changed", "mistake"),
    [
        ({"where": "A = 1) OR (B = 2"}, "closing bracket without an opening bracket, at character 6"),
        ({"where": "A = 1) LIMIT 1"}, "closing bracket without an opening bracket"),
        ({"where": "(A = 1"}, "needs 1 more closing bracket$"),
        ({"where": "((A = 1"}, "needs 2 more closing brackets"),
        ({"where": "A = 'x"}, "begins at character 5 and does not end"),
        ({"where": r"A = 'x\'"}, "does not end"),
        ({"where": "A = 'x\\"}, "does not end"),
        ({"where": " Where A = 1"}, "remove this word"),
        ({"where": "  "}, "blank"),
        ({"where": "A" * 100_001}, "characters"),
        ({"entity": "Account WHERE"}, "not the name"),
        ({"entity": ""}, "not the name"),
        ({"fields": ("Id", "Name FROM")}, "not the name"),
        ({"fields": ("Id", "Name", "name")}, "twice"),
        ({"fields": ("Name",)}, "add Id to the fields"),
    ],
)
def test_query_that_would_be_another_is_refused(changed: dict[str, Any], mistake: str) -> None:
    """With what to do."""
    with pytest.raises(ValueError, match=mistake):
        replace(QUERY, **changed)


@given(st.text(alphabet="'\\()a ", max_size=30))
def test_accepted_condition_never_leaves_its_brackets(where: str) -> None:
    """Read one character after the other, as Salesforce does."""
    try:
        replace(QUERY, where=where)
    except ValueError:
        return

    depth, is_text, is_escaped = 0, False, False
    for character in where:
        if is_escaped:
            is_escaped = False
        elif is_text:
            is_escaped, is_text = character == "\\", character != "'"
        else:
            is_text = character == "'"
            depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth >= 0
    assert (depth, is_text, is_escaped) == (0, False, False)


def test_query_of_many_fields_does_not_fit_an_address() -> None:
    """An object can have 800 of them."""
    wide = RecordQuery(entity="Account", fields=("Id", *(f"Some_Field_{number}__c" for number in range(799))))

    assert pages_fit(QUERY)
    assert not pages_fit(wide)
