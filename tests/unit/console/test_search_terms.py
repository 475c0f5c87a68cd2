"""The search field recognises what a person writes, leads to the right page, and says what it understood."""

from urllib.parse import parse_qs, urlsplit

import pytest

from streamer.console.search_terms import UNDERSTOOD, NotUnderstood, SearchTerm, TermKind, understood
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

NOW = 1_796_043_600.0  # 2026-11-30T13:00:00Z
CHANGES = "/data/ChangeEvents"


def read(text: str) -> SearchTerm:
    """Return what the field understands of `text`."""
    return understood(text, now=NOW, subscribers={"shipment"}, paths=[CHANGES])


def query(text: str) -> dict[str, str]:
    """Return the query of the page to which `text` leads."""
    return {name: value for name, [value] in parse_qs(urlsplit(read(text).path).query).items()}


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("3f0c7c2e-6a7e-4a53-9d0c-1f3b7c2a9e11", "event", "/events/3f0c7c2e-6a7e-4a53-9d0c-1f3b7c2a9e11"),
        ("0001:3:006Hs00001AbCdEAAV", "event", "/events/0001:3:006Hs00001AbCdEAAV"),
        ("0001:3:006Hs:shipment", "letter", "/dead-letters/letter?id=0001%3A3%3A006Hs%3Ashipment"),
        ("006Hs00001AbCdE", "record", "/events?record=006Hs00001AbCdE"),
        (" 006Hs00001AbCdEAAV ", "record", "/events?record=006Hs00001AbCdEAAV"),
        ("https://a.my.salesforce.com/006Hs00001AbCdE", "record", "/events?record=006Hs00001AbCdE"),
        (
            "https://a.lightning.force.com/lightning/r/Opportunity/006Hs00001AbCdEAAV/view?ws=%2Flightning",
            "record", "/events?record=006Hs00001AbCdEAAV",
        ),
        ("1001", "key", "/events?record=1001"),
        ("PO-77", "key", "/events?record=PO-77"),
        ("shipment", "subscriber", "/subscribers/shipment"),
        (CHANGES, "channel", "/events?channel=%2Fdata%2FChangeEvents"),
    ],
)  # fmt: skip
def test_term_leads_to_its_page(text: str, kind: str, path: str) -> None:
    """A person need not know which list to open."""
    assert (read(text).kind, read(text).path) == (kind, path)


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("salesforce.cdc.Account.*", "salesforce.cdc.Account.*"),
        ("*.Opportunity.updated", "*.Opportunity.updated"),
        ("Opportunity", "*.Opportunity,*.Opportunity.*"),
        ("Invoice__c", "*.Invoice__c,*.Invoice__c.*"),
        ("Order_Placed__e", "*.Order_Placed__e"),
        ("Invoice__ChangeEvent", "*.Invoice__c.*"),
    ],
)
def test_type_is_a_pattern_or_a_name(text: str, types: str) -> None:
    """The name that Salesforce shows is enough."""
    assert (read(text).kind, query(text)) == (TermKind.TYPE, {"type": types})


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("15 min ago", "2026-11-30T12:45:00Z"),
        ("10 min ago", "2026-11-30T12:50:00Z"),
        ("2h", "2026-11-30T11:00:00Z"),
        ("an hour ago", "2026-11-30T12:00:00Z"),
        ("1.5 days ago", "2026-11-29T01:00:00Z"),
        ("09:30", "2026-11-30T09:30:00Z"),
        ("23:30", "2026-11-29T23:30:00Z"),
        ("yesterday 14:00", "2026-11-29T14:00:00Z"),
        ("2026-01-31T09:30", "2026-01-31T09:30:00Z"),
        ("2026-01-31 09:30:15+01:00", "2026-01-31T08:30:15Z"),
    ],
)
def test_time_leads_to_the_events_since_then(text: str, since: str) -> None:
    """The oldest first; a time without a zone is in UTC, and a time of a clock is past."""
    assert (read(text).kind, query(text)) == (TermKind.TIME, {"since": since, "order": "oldest"})


@pytest.mark.parametrize(
    ("text", "day", "following"),
    [("2026-01-31", "2026-01-31", "2026-02-01"), ("yesterday", "2026-11-29", "2026-11-30")],
)
def test_day_leads_to_the_events_of_this_day(text: str, day: str, following: str) -> None:
    """From midnight to midnight."""
    assert read(text).kind is TermKind.DAY
    assert query(text) == {
        "since": f"{day}T00:00:00Z", "until": f"{following}T00:00:00Z", "order": "oldest"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Write an event's id"),
        ("order of Acme", "several words"),
        ("31.01.2026", "Write a date as 2026-01-31"),
        ("2026-02-31", "not a date or a time"),
        ("25:00", "not a time of a day"),
        ("2027-01-01", "in the future"),
        ("99999999999 days ago", "before 1970"),
        ("0001-01-01", "before 1970"),
        ("0001-01-01T00:00+23:00", "before 1970"),
        ("9999-12-31T23:59-23:00", "in the future"),
        ("/data/Nothing", f"configured: {CHANGES}"),
        ("x" * 1_001, "Write an event's id"),
        ("a\nb", "Write an event's id"),
    ],
)
def test_term_that_is_nothing_known_says_what_to_write(text: str, sentence: str) -> None:
    """Instead of an empty list."""
    with pytest.raises(NotUnderstood, match=sentence):
        read(text)


def test_every_kind_is_said() -> None:
    """A new kind must not lead to a page without a word."""
    assert UNDERSTOOD.keys() == set(TermKind)


async def test_search_redirects_and_the_page_says_what_it_understood(browser: Browser) -> None:
    """The address holds the kind, and never a text, because anybody can write an address."""
    answer = await browser.get("/search?q=1001")
    shown = await browser.get(answer.place.removeprefix("/console"))

    assert (answer.status, answer.place) == (303, "/console/events?record=1001&understood=key")
    assert UNDERSTOOD[TermKind.KEY] in shown.text
    assert "Your search" not in (await browser.get("/events?understood=<b>")).text


async def test_search_for_a_subscriber_opens_its_page(browser: Browser) -> None:
    """Its name is enough."""
    place = (await browser.get(f"/search?q={TARGET}")).place

    assert place == f"/console/subscribers/{TARGET}?understood=subscriber"
    assert "the name of a subscriber" in (await browser.get(place.removeprefix("/console"))).text


async def test_search_that_is_not_understood_is_a_page_with_advice(browser: Browser) -> None:
    """With the term in the field, and a link that searches for the term as a key."""
    answer = await browser.get("/search?q=order+of+%3Cb%3E")

    assert (answer.status, "several words" in answer.text) == (200, True)
    assert 'value="order of &lt;b&gt;"' in answer.text
    assert "/console/events?record=order+of+%3Cb%3E" in answer.text


async def test_page_to_sign_in_has_no_search(world: World) -> None:
    """A stranger has nothing to search."""
    world.admin["token"] = "x" * 16
    async with world.opened() as browser:
        assert 'role="search"' not in (await browser.get("/sign-in")).text
        await browser.sign_in(token="x" * 16)
        assert 'role="search"' in (await browser.get("/subscribers")).text
