"""The records changed and deleted within a span of time."""

from typing import Any

import pytest

from tests.unit.sandbox.rest.world import RestWorld, code

DAY = 24 * 3600.0


def span(start: str, end: str) -> str:
    """Return the query of a span."""
    return f"?start={start}&end={end}"


def delete(rest: RestWorld, record_id: str) -> None:
    """Delete an account."""
    with rest.org.transaction() as transaction:
        transaction.delete("Account", record_id)


async def test_updated_and_deleted_go_by_minutes(rest: RestWorld) -> None:
    """The end is not within the span, and what a long transaction may still change is not covered."""
    first = rest.create("Account", Name="A")
    await rest.clock.turn(90)
    second = rest.create("Account", Name="B")
    await rest.clock.turn(2 * 3600)
    whole = span("2025-01-01T00:00:59Z", "2025-01-01T00:01:59%2B00:00")
    body = rest.call("GET", f"sobjects/Account/updated/{whole}").body
    assert body == {"ids": [first], "latestDateCovered": "2025-01-01T00:01:00.000+0000"}
    delete(rest, second)
    # A span that reaches to the present is covered up to an hour ago.
    until = span("2025-01-01T00:00:00Z", "2025-01-01T03:00:00Z")
    body = rest.call("GET", f"sobjects/Account/deleted/{until}").body
    assert body == {
        "deletedRecords": [{"id": second, "deletedDate": "2025-01-01T02:01:30.000+0000"}],
        "earliestDateAvailable": "2024-12-17T02:01:30.000+0000",
        "latestDateCovered": "2025-01-01T01:01:00.000+0000",
    }
    assert rest.call("GET", f"sobjects/Account/updated/{until}").body["ids"] == [first]


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [
        ("updated", "2025-01-01T00:01:00Z", "2025-01-01T00:01:59Z"),
        ("updated", "2025-01-01T00:02:00Z", "2025-01-01T00:01:00Z"),
        ("updated", "2024-11-30T00:00:00Z", "2025-01-01T00:00:00Z"),
        ("deleted", "2025-01-01T00:00:00Z", "2025-01-01T00:01:59Z"),
        ("deleted", "2024-11-30T00:00:00Z", "2025-01-01T00:00:00Z"),
    ],
)
async def test_a_span_that_makes_no_sense_is_refused(
    rest: RestWorld, kind: str, start: str, end: str
) -> None:
    """Empty, backwards, or more than 30 days ago."""
    answer = rest.call("GET", f"sobjects/Account/{kind}/{span(start, end)}")
    assert code(answer) == (400, "INVALID_REPLICATION_DATE")


async def test_deletions_are_told_of_for_fifteen_days(rest: RestWorld) -> None:
    """Older ones are left out, and the answer says since when it tells."""
    delete(rest, rest.create("Account", Name="A"))
    await rest.clock.turn(15 * DAY + 1)
    body = rest.call(
        "GET", f"sobjects/Account/deleted/{span('2025-01-01T00:00:00Z', '2025-01-17T00:00:00Z')}"
    ).body
    assert (body["deletedRecords"], body["earliestDateAvailable"]) == ([], "2025-01-01T00:00:01.000+0000")


async def test_an_emptied_recycle_bin_ends_the_log_of_deletions(rest: RestWorld) -> None:
    """A span from before is refused, so that nobody misses a deletion."""
    delete(rest, rest.create("Account", Name="A"))
    await rest.clock.turn(3600)
    rest.org.empty_recycle_bin()
    await rest.clock.turn(3600)
    before = span("2025-01-01T00:00:00Z", "2025-01-01T02:00:00Z")
    assert code(rest.call("GET", f"sobjects/Account/deleted/{before}")) == (400, "INVALID_REPLICATION_DATE")
    assert rest.call("GET", f"sobjects/Contact/deleted/{before}").status == 200
    after = span("2025-01-01T01:00:00Z", "2025-01-01T02:00:00Z")
    assert rest.call("GET", f"sobjects/Account/deleted/{after}").body["deletedRecords"] == []


async def test_too_many_ids_are_refused(rest: RestWorld) -> None:
    """Of either kind."""
    accounts = [rest.create("Account", Name=name) for name in "ABC"]
    wide = span("2025-01-01T00:00:00Z", "2025-01-01T02:00:00Z")
    assert code(rest.call("GET", f"sobjects/Account/updated/{wide}")) == (400, "EXCEEDED_ID_LIMIT")
    for account in accounts:
        delete(rest, account)
    assert code(rest.call("GET", f"sobjects/Account/deleted/{wide}")) == (400, "EXCEEDED_ID_LIMIT")


async def test_a_collection_is_read_whole(rest: RestWorld) -> None:
    """In the order of its ids, with null for what is missing, deleted, of another type or no id at all."""
    account, gone = rest.create("Account", Name="A"), rest.create("Account", Name="B")
    contact = rest.create("Contact", LastName="Berg")
    delete(rest, gone)
    ids = [gone, account, "001000000000001AAA", contact, account[:15], "nonsense", ""]
    body = {"ids": ids, "fields": ["name"]}
    answer = rest.call("POST", "composite/sobjects/account", body)
    found = [each and (each["attributes"]["type"], each["Id"], each["Name"]) for each in answer.body]
    known = ("Account", account, "A")
    assert found == [None, known, None, None, known, None, None]
    assert rest.call("GET", f"composite/sobjects/Account?ids={account},{gone}&fields=Name").body[1] is None


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"ids": ["001000000000001AAA"] * 2001, "fields": ["Name"]}, "EXCEEDED_ID_LIMIT"),
        ({"ids": ["001000000000001AAA"], "fields": ["Nope"]}, "INVALID_FIELD"),
        ({"ids": [], "fields": ["Name"]}, "MISSING_ARGUMENT"),
        ({"ids": ["001000000000001AAA"]}, "MISSING_ARGUMENT"),
        ({"ids": "001000000000001AAA", "fields": ["Name"]}, "JSON_PARSER_ERROR"),
    ],
)
async def test_a_wrong_collection_is_refused(rest: RestWorld, body: dict[str, Any], refusal: str) -> None:
    """Also where none of its records exists."""
    assert code(rest.call("POST", "composite/sobjects/Account", body)) == (400, refusal)


async def test_a_collection_has_two_thousand_records(rest: RestWorld) -> None:
    """At most, and each of them as often as it is named."""
    body = {"ids": [rest.create("Account", Name="A")] * 2000, "fields": ["Id"]}
    assert len(rest.call("POST", "composite/sobjects/Account", body).body) == 2000
