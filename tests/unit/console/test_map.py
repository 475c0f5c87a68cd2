"""The first page shows the flow, and what is broken, at a glance and within bounds."""

import re
import time
from dataclasses import replace
from typing import Any

import pytest

from streamer.flow.glossary import EXPLANATIONS
from streamer.flow.report import FlowFacts
from tests.unit.console.test_pages import EVIL, JWT
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET
from tests.unit.flow.maps import DOWN, channel, flow_map, many, subscriber, troubled_map

MOST_BYTES = 150_000
# A page takes 0.05 s on the machine that it was measured on; a slow machine needs several times that.
MOST_CPU_S = 1.0


def shows(browser: Browser, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Let the console show these facts."""

    async def gathered(_: object) -> FlowFacts:
        return FlowFacts(**facts)

    monkeypatch.setattr(type(browser.context.flow), "facts", gathered)


def hole(state: str, *, lasting: bool = False) -> dict[str, Any]:
    """Return a hole as the console reads it."""
    at = "2025-01-01T00:00:00Z"
    about = {"channel": "/data/ChangeEvents", "entity": "Account", "cause": "overflow", "recorded_at": at}
    return {"state": state, "is_lasting": lasting, **about}


async def test_map_of_a_calm_daemon_says_that_everything_flows(browser: Browser) -> None:
    """With a link for each part."""
    page = (await browser.get("")).text

    assert "Everything flows" in page
    for address in ("/console/channels", "/console/events", f"/console/subscribers/{TARGET}"):
        assert re.search(rf'<a class="part \w+" href="{address}">', page)


async def test_map_leads_to_the_dead_letters_of_a_subscriber(world: World, browser: Browser) -> None:
    """In one click: from the verdict, or from the badge."""
    await world.api.fail(1, 2)
    page = (await browser.get("")).text

    assert "1 part needs attention" in page
    assert re.search(rf'<li><a href="/console/dead-letters\?subscriber={TARGET}">{TARGET}</a>: 2 dead', page)
    assert re.search(rf'<a class="tag bad" href="/console/dead-letters\?subscriber={TARGET}">', page)


async def test_discarded_letters_leave_the_map_at_once(world: World, browser: Browser) -> None:
    """An operator looks there to see that nothing is left to do."""
    await world.api.fail(1)
    csrf = await browser.signed_in()
    before = await browser.get("")
    await browser.post("/dead-letters/discard", {"csrf": csrf, "subscriber": TARGET})
    after = await browser.get("")

    assert "1 part needs attention" in before.text
    assert "Everything flows" in after.text


async def test_verdict_names_what_is_broken(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part with its reasons, the broken ones first."""
    shows(browser, monkeypatch, map=troubled_map())
    page = (await browser.get("")).text

    assert "4 parts need attention" in page
    assert "invoice</a>: target down since 11:48 UTC (12 min), 12 parked" in page
    assert "since 11:48 UTC (12 min): answered 503" in page
    names = re.findall(r'<li><a href="[^"]+">([^<]+)</a>: ', page)
    assert names[-1] == "archive"


async def test_badge_explains_its_word(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mouse rests on it, and the line below the map says the same."""
    shows(browser, monkeypatch, map=troubled_map())
    page = (await browser.get("")).text

    assert f"<title>12 parked: {EXPLANATIONS['parked']}</title>" in page
    assert f"<title>2 lasting holes: {EXPLANATIONS['hole']}</title>" in page
    assert page.count(f">Hole</a>: {EXPLANATIONS['hole']}") == 1


async def test_verdict_of_waiting_events_is_not_red(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who paused a subscriber knows why its events wait."""
    shows(browser, monkeypatch, map=flow_map([subscriber(parked=1)]))

    assert "Nothing is broken, but some events wait" in (await browser.get("")).text


@pytest.mark.parametrize(
    ("holes", "letters", "at_once", "said"),
    [
        ([], 0, "No.", "nothing is lost No event is missing. All continuity records"),
        ([hole("full")], 0, "No.", "nothing is lost No event is missing: every hole is repaired."),
        (
            [hole("partial", lasting=False)],
            1,
            "No.",
            "nothing is lost .* 1 dead letter waits in the log until you redrive or discard it",
        ),
        (
            [hole("open")] * 2,
            0,
            "No, and missing events are on their way.",
            "in repair No event is lost for good. Streamer is repairing 2 holes.",
        ),
        (
            [hole("none", lasting=True), hole("open")],
            3,
            "Yes, events are missing.",
            "1 hole of the last seven days is not repaired. Streamer is repairing 1 hole. .* 3 dead letters",
        ),
    ],
)
async def test_map_says_whether_anything_is_lost(
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    holes: list[Any],
    letters: int,
    at_once: str,
    said: str,
) -> None:
    """A dead letter is kept, a hole in repair is filled, and a lasting hole is a loss."""
    shows(browser, monkeypatch, map=flow_map([subscriber(dead_letters=letters)]), holes=holes)
    page = (await browser.get("")).text
    section = page[page.index('<h2 id="lost">') : page.index('<h2 id="failures">')]

    assert f'<a href="#lost">Is anything lost?</a> {at_once}' in page
    assert re.search(said, " ".join(re.sub("<[^>]+>", "", section).split()))


async def test_log_that_can_not_be_read_leaves_the_question_open(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing known is not nothing lost."""
    shows(browser, monkeypatch, map=flow_map(problem="no broker"))
    page = (await browser.get("")).text

    assert "this page can't tell" in page
    assert "nothing is lost" not in page


async def test_map_of_sixty_subscribers_is_within_bounds(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both drawings and the rest of the page; six parts of the trouble are named."""
    down = [replace(each, state=DOWN, dead_letters=3, parked=7, has_open_circuit=True) for each in many(60)]
    shows(browser, monkeypatch, map=flow_map(down, [channel(f"/event/E{n}__e") for n in range(12)]))
    await browser.get("")
    began = time.process_time()
    page = (await browser.get("")).text

    assert time.process_time() - began < MOST_CPU_S
    assert len(page.encode()) < MOST_BYTES
    assert "and 54 more on the map" in page


async def test_hostile_texts_on_the_map_are_escaped_and_masked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reasons come from targets."""
    node = subscriber(state=replace(DOWN, reason=f"{EVIL} {JWT}"), lag=1)
    shows(browser, monkeypatch, map=flow_map([node], [channel(f"/event/{EVIL}")], problem=f"{EVIL} {JWT}"))
    page = (await browser.get("")).text

    assert "<script>alert" not in page
    assert JWT not in page
    assert "&lt;script&gt;" in page


async def test_charts_have_a_page_of_their_own(browser: Browser) -> None:
    """So that the map is on the first screen."""
    assert (await browser.get("/charts")).text.count("<figure>") == 6
    assert "<figure>" not in (await browser.get("")).text
