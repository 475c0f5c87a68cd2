"""The console has five sections, and its header names the org."""

import re

import pytest

from streamer.console.navigation import SECTIONS
from streamer.flow.labels import OrgLabel
from tests.unit.console.test_pages import PAGES
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

LINK = re.compile(r'<a href="([^"]+)"(?: title="[^"]+")? aria-current="(true|page)">([^<]+)</a>')
# Section and page that the navigation marks as current.
PLACES = {
    "": ("Flow", "Map"),
    "/": ("Flow", "Map"),
    "/charts": ("Flow", "Charts"),
    "/channels": ("Flow", "Channels"),
    "/subscribers": ("Flow", "Subscribers"),
    f"/subscribers/{TARGET}": ("Flow", "Subscribers"),
    "/events": ("Events", "Search"),
    "/tail": ("Events", "Live tail"),
    "/problems": ("Problems", "All"),
    "/dead-letters": ("Problems", "Dead letters"),
    "/dead-letters/redrive": ("Problems", "Dead letters"),
    "/dead-letters/discard": ("Problems", "Dead letters"),
    "/parked": ("Problems", "Parked keys"),
    "/continuity": ("Problems", "Continuity"),
    "/redrives": ("Operate", "Redrives"),
    "/snapshots": ("Operate", "Snapshots"),
    "/audit": ("Operate", "Audit"),
    "/configuration": ("Settings", "Configuration"),
}


def test_console_has_five_sections() -> None:
    """A visitor chooses between five sections."""
    assert [each.name for each in SECTIONS] == ["Flow", "Events", "Problems", "Operate", "Settings"]


@pytest.mark.parametrize(("path", "place"), PLACES.items())
async def test_page_marks_its_section_and_itself_in_the_navigation(
    browser: Browser, path: str, place: tuple[str, str]
) -> None:
    """Screen readers announce both; bookmarks of former addresses lead to the same pages."""
    answer = await browser.get(path)

    assert answer.status == 200
    assert [(kind, name) for _, kind, name in LINK.findall(answer.text)] == [
        ("true", place[0]),
        ("page", place[1]),
    ]


async def test_page_outside_of_the_sections_marks_no_section(browser: Browser) -> None:
    """The page to sign in belongs to no section."""
    answer = await browser.get("/sign-in")

    assert LINK.findall(answer.text) == []
    assert answer.text.count("<nav") == 1


def test_every_page_belongs_to_a_section() -> None:
    """A new page needs a section; the search field and a link to the glossary are on every page."""
    assert set(PAGES) - set(PLACES) == {"/sign-in", "/search", "/glossary"}


@pytest.mark.parametrize(
    ("url", "host", "kind"),
    [
        ("https://acme.my.salesforce.com", "acme.my.salesforce.com", "production"),
        ("https://login.salesforce.com", "login.salesforce.com", "production"),
        ("https://acme.my.salesforce.mil", "acme.my.salesforce.mil", "production"),
        ("https://na139.salesforce.com", "na139.salesforce.com", "production"),
        ("https://test.salesforce.com", "test.salesforce.com", "sandbox"),
        ("https://acme--uat.sandbox.my.salesforce.com", "acme--uat.sandbox.my.salesforce.com", "sandbox"),
        ("https://acme--uat.my.salesforce.com", "acme--uat.my.salesforce.com", "sandbox"),
        ("https://acme--uat.cs12.my.salesforce.com", "acme--uat.cs12.my.salesforce.com", "sandbox"),
        ("https://cs12.salesforce.com", "cs12.salesforce.com", "sandbox"),
        ("https://x-dev-ed.develop.my.salesforce.com", "x-dev-ed.develop.my.salesforce.com", "developer org"),
        ("https://a.scratch.my.salesforce.com", "a.scratch.my.salesforce.com", "scratch org"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", "local sandbox"),
        ("http://[::1]:8080", "[::1]:8080", "local sandbox"),
        ("http://localhost:8080", "localhost:8080", "local sandbox"),
        ("https://salesforce.com.example", "salesforce.com.example", "not a Salesforce host"),
        ("https://evilsalesforce.com", "evilsalesforce.com", "not a Salesforce host"),
    ],
)
def test_label_of_an_org_says_its_kind(url: str, host: str, kind: str) -> None:
    """Only the hosts of production orgs are production."""
    assert OrgLabel.of(url) == OrgLabel(host=host, kind=kind)
    assert OrgLabel.of(url).is_production == (kind == "production")


async def test_header_names_the_org_of_the_login(browser: Browser) -> None:
    """Before the login, the header names the configured address."""
    before = await browser.get("/audit")
    browser.context.status.reading.logged_in("https://acme--uat.sandbox.my.salesforce.com")
    after = await browser.get("/audit")

    assert re.search(r"acme\.my\.salesforce\.com</span>\s*<span[^>]*>production<", before.text)
    assert re.search(r"acme--uat\.sandbox\.my\.salesforce\.com</span>\s*<span[^>]*>sandbox<", after.text)


async def test_header_does_not_name_the_org_to_strangers() -> None:
    """A visitor without the token, or with a foreign Host header, learns nothing of the org."""
    async with World(admin={"token": "x" * 16}).opened() as browser:
        signing_in = await browser.get("/sign-in")
        await browser.signed_in(token="x" * 16)
        signed_in = await browser.get("/audit")
    async with World().opened() as browser:
        renamed = await browser.get("/audit", Host="attacker.example")

    assert "acme.my.salesforce.com" not in signing_in.text + renamed.text
    assert "acme.my.salesforce.com" in signed_in.text
