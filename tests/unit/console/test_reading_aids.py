"""Help for reading: times, ids, links to Salesforce, and a coloured configuration."""

import re
from dataclasses import replace
from html import unescape

import pytest

from streamer.console.pages.configuration import highlighted
from streamer.events import Repair
from streamer.flow.labels import record_address
from tests.unit.admin.test_problem_findings import HOLE
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

RECORD, WHOLE = "006Hs00001AbCdE", "006Hs00001AbCdEIAV"
ORG = "https://acme.my.salesforce.com"
TEXT = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: jwt, 'client id': '***'}
limits: [1, 2.5, true, null]
text: |-
  Dear <b>{{ name }}</b>,
  key: no key
"""


async def test_commands_in_errors_and_details_are_code(world: World, browser: Browser) -> None:
    """No page shows a backtick around a command of Streamer."""
    told = "The rules were mistaken: run `streamer deadletters list`."
    await world.api.fail(1, reason=told)
    world.api.log.continuity.append(replace(HOLE, detail=told, state=Repair.NONE))
    pages = ("", "/dead-letters", "/dead-letters/letter?id=1:target", "/problems", "/continuity")
    texts = [unescape((await browser.get(path)).text) for path in pages]
    # Forms, links and commands have the error as it is.
    shown = [re.sub(r"<[^>]+value=[^>]*>|href=\"[^\"]*\"|As a command: .*", "", text) for text in texts]

    assert [path for path, text in zip(pages, shown, strict=True) if "`" in text] == []
    told_as_code = "<code>streamer deadletters list</code>."
    assert [path for path, text in zip(pages, shown, strict=True) if told_as_code not in text] == []


@pytest.mark.parametrize(
    "org", [ORG, f"{ORG}/", "https://acme--uat.my.salesforce.com", "http://localhost:80"]
)
def test_record_has_an_address_in_its_org(org: str) -> None:
    """With the whole id of 18 characters, whichever was shown."""
    assert record_address(org, RECORD) == record_address(org, WHOLE) == f"{org.rstrip('/')}/{WHOLE}"


@pytest.mark.parametrize(
    ("org", "key"),
    [
        (ORG, "1001"),
        (ORG, None),
        (ORG, "abcdefghijklmno"),
        (ORG, "../../evil/page"),
        ("https://login.salesforce.com", RECORD),
        ("https://test.salesforce.com", RECORD),
        ("javascript:alert(1)", RECORD),
        ("ftp://acme.example", RECORD),
        ("", RECORD),
    ],
)
def test_other_keys_and_other_addresses_have_none(org: str, key: object) -> None:
    """A link must lead to the record, and to nothing else."""
    assert record_address(org, key) == ""


def test_address_holds_no_password() -> None:
    """Though the configured one has one."""
    assert record_address("https://anna:secret@acme.my.salesforce.com", WHOLE) == f"{ORG}/{WHOLE}"


async def test_event_and_dead_letter_link_to_the_record(world: World, browser: Browser) -> None:
    """And have buttons that copy their ids."""
    await world.api.fail(1, key=RECORD)
    letter = (await browser.get(f"/dead-letters/letter?id=1:{TARGET}")).text

    assert f'href="{ORG}/{RECORD}' in letter
    assert f'data-copy="1:{TARGET}"' in letter
    assert 'data-copy="1"' in (await browser.get("/events/1")).text


def test_configuration_is_coloured_by_kind() -> None:
    """Keys, texts in quotes and other values; the text itself is unchanged, and escaped."""
    page = highlighted(TEXT)

    for part in ("org", "login_url", "limits", "text"):
        assert f"<i>{part}</i>" in page
    for part in ("1", "2.5", "true", "null"):
        assert f"<var>{part}</var>" in page
    assert "<i>&#39;client id&#39;</i>" in page
    assert "<em>&#39;***&#39;</em>" in page
    assert page.count("<i>") == 7
    assert "<b>" not in page


@pytest.mark.parametrize("text", [TEXT, "a: [", "\tx", "", "é: 'ü' # ö\n"])
def test_colours_change_no_character(text: str) -> None:
    """Even of a text that is no YAML."""
    assert unescape(re.sub("</?(?:i|em|var)>", "", highlighted(text))) == text


def test_secret_in_a_configuration_stays_masked() -> None:
    """Colours do not pass by what masks every other text."""
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
    assert jwt not in highlighted(f"x: {jwt}\n")
