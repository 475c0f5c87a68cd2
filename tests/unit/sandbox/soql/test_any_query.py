"""Any text is answered or refused."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

FIELDS = [
    "Id",
    "Name",
    "Industry",
    "CreatedDate",
    "AnnualRevenue",
    "Subject",
    "ActivityDate",
    "IsDeleted",
    "Nope__c",
    "Nope",
    "a.CreatedDate",
    "What.Name",
    "What.Amount",
    "What.CloseDate",
    "What.IsClosed",
    "What.BillingAddress",
    "Owner.Name",
    "Owner.Nope",
]
FUNCTIONS = (
    "COUNT",
    "COUNT_DISTINCT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "CALENDAR_YEAR",
    "DAY_ONLY",
    "HOUR_IN_DAY",
)
SIGNS = ("=", "!=", "<", "<=", ">", ">=", "LIKE")
LITERALS = ("'a%'", "''", "7", "-1.5", "true", "null", "TODAY", "LAST_N_DAYS:3", "2025-01-01", "2025-99-99")
SUBQUERIES = (
    "(SELECT Id FROM Tasks)",
    "(SELECT Id, What.Name FROM Tasks ORDER BY Subject LIMIT 1)",
    "FIELDS(ALL)",
)
SETS = ("('a;b', 7)", "(TODAY, null)", "(SELECT WhatId FROM Task)", "(SELECT Id FROM Opportunity)")

fields = st.sampled_from(FIELDS)
operands = fields | st.builds("{}({})".format, st.sampled_from(FUNCTIONS), fields)
comparisons = st.builds(
    "{} {} {}".format, operands, st.sampled_from(SIGNS), st.sampled_from(LITERALS)
) | st.builds(
    "{} {} {}".format,
    operands,
    st.sampled_from(("IN", "NOT IN", "INCLUDES", "EXCLUDES")),
    st.sampled_from(SETS),
)
conditions = comparisons | st.builds(
    "{} {} {}".format, comparisons, st.sampled_from(("AND", "OR")), comparisons
)
queries = st.builds(
    "SELECT {} FROM {} a{}{}{}{}".format,
    st.lists(operands | st.sampled_from(SUBQUERIES), min_size=1, max_size=3).map(", ".join),
    st.sampled_from(("Account", "Task", "Opportunity")),
    st.just("") | conditions.map(" WHERE {}".format),
    st.just("") | operands.map(" GROUP BY {}".format),
    st.just("") | conditions.map(" HAVING {}".format),
    st.just("") | operands.map(" ORDER BY {} DESC NULLS LAST".format),
)
TASKS = "SELECT {} FROM Task WHERE What.Name != null {}"


@pytest.fixture(scope="module")
def org() -> OrgWorld:
    """An org whose tasks refer to records of several types, one with an invalid date."""
    world = OrgWorld()
    account = world.create("Account", Name="Acme", AnnualRevenue=5, Industry="Energy")
    fields = {"StageName": "Prospecting", "CloseDate": "2025-01-31", "Amount": 7}
    deal = world.create("Opportunity", Name="Deal", AccountId=account, **fields)
    # No client can write such dates.
    world.org.retrieve("Opportunity", deal)["CloseDate"] = "2025-99-99"
    for parent in (account, deal):
        task = world.create("Task", Subject="Call", WhatId=parent)
        world.org.retrieve("Task", task)["ActivityDate"] = "2025-13-40"
    return world


@settings(max_examples=600, deadline=None)
@given(text=queries)
def test_any_query_is_answered_or_refused(org: OrgWorld, text: str) -> None:
    """Nothing else is raised, while the query is read or while it runs."""
    with suppress(Refused):
        run = org.query(text)
        run.count()
        run.rows()


@pytest.mark.parametrize(
    ("selected", "more"),
    [
        ("SUM(What.Amount), MIN(What.Name), AVG(What.Name)", ""),
        ("Id", "AND CALENDAR_YEAR(ActivityDate) = 2025"),
        ("Id", "AND What.Amount = TODAY ORDER BY What.Amount"),
        ("Id", "AND What.Name LIKE 'A%' AND What.Amount > 'x'"),
        ("COUNT(Id)", "GROUP BY DAY_ONLY(What.CloseDate)"),
    ],
)
def test_values_of_parents_of_several_types_are_taken_as_they_are(
    org: OrgWorld, selected: str, more: str
) -> None:
    """A number beside a text, or a date that the calendar does not have, must not fail."""
    org.query(TASKS.format(selected, more)).rows()
