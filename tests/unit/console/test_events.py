"""Events are searched and shown page by page, with their values as text."""

import re
from dataclasses import replace
from html import unescape

import pytest

from streamer.console.pages.events import _accounts_in_order
from streamer.console.stories import event_row, story_address
from streamer.events import AttemptExchange, EventId, Reject, Retry
from tests.contracts.values import a_dead_letter, a_receipt, an_append, an_event, append_to
from tests.unit.console.test_pages import EVIL, JWT
from tests.unit.console.world import Answer, Browser, World
from tests.unit.dispatch.world import TARGET


def links(answer: Answer, begin: str) -> list[str]:
    """Return the addresses below /console in a page that begin so."""
    return [unescape(each) for each in re.findall(f'href="/console({begin}[^"]*)"', answer.text)]


async def test_search_is_paged_and_says_how_far_it_came(world: World, browser: Browser) -> None:
    """By the cursor, with the same filter."""
    await world.api.deliver(1, 2, 3, key="001000000000002AAA")
    await world.api.deliver(4)
    search = "/events?record=001000000000002&type=salesforce.cdc.%2A&limit=2"
    first = await browser.get(search)
    [further] = [each for each in links(first, "/events") if "cursor=" in each]
    second = await browser.get(further)

    assert "2 events." in first.text
    assert "The search has covered only a part of the log: " in first.text
    assert "1 event more." in second.text
    assert "has covered the whole log" in second.text
    found = links(first, "/events/") + links(second, "/events/")
    assert {each.partition("?")[0] for each in found} == {"/events/1", "/events/2", "/events/3"}
    assert links(second, "/events[?]record=") == [
        "/events?record=001000000000002&type=salesforce.cdc.%2A&limit=2"
    ]


async def test_search_without_a_finding_says_so(browser: Browser) -> None:
    """With what it looked at."""
    page = await browser.get("/events?record=none")

    assert "The search found no events." in page.text
    assert "has covered the whole log (0 offsets searched)" in page.text


@pytest.mark.parametrize(
    "path",
    ["/events?limit=1001", "/events?cursor=x", "/events?order=odd", f"/events?record={'x' * 1_001}"],
)
async def test_mistake_in_a_search_is_told(browser: Browser, path: str) -> None:
    """Before anything is read."""
    assert (await browser.get(path)).status == 400


async def test_story_tells_all_and_leads_on(world: World, browser: Browser) -> None:
    """Of a dead letter: its error, what to do next, and its own page."""
    await world.api.fail(1, key="k")
    story = await browser.get("/events/1")

    assert "has been a dead letter since" in story.text
    assert "What to do next" in story.text
    assert "What the log does not keep" in story.text
    assert links(story, "/dead-letters/letter") == ["/dead-letters/letter?id=1%3Atarget"]
    letter = await browser.get("/dead-letters/letter?id=1:target")
    [back] = links(letter, "/events/")
    assert (await browser.get(back)).status == 200


async def test_story_and_letter_show_the_exchange_of_a_failed_attempt(world: World, browser: Browser) -> None:
    """An answer is foreign text, which a page must not run."""
    evil = "<script>"
    headers = {"x-request-id": evil}
    exchange = AttemptExchange(request="POST https://erp.example.com/orders", status=422, headers=headers)
    retry = Retry(reason="no", answer=evil, exchange=exchange)
    world.api.dispatch.target.answers["1"] += [retry, Reject(reason="answered 422", exchange=exchange)]
    await world.api.dispatch.append(1, key="k")
    async with world.api.dispatch.running():
        await world.api.dispatch.turn(5)

    for path in ("/events/1", "/dead-letters/letter?id=1:target"):
        page = (await browser.get(path)).text.replace("<wbr>", "")
        assert page.count("Sent: POST https://erp.example.com/orders, no content") == 2
        assert page.count("Answered: status 422; x-request-id: &lt;script&gt;") == 2
        assert "Answer: &lt;script&gt;" in page


async def test_story_has_its_steps_in_the_order_of_their_times(world: World, browser: Browser) -> None:
    """Commit, append, each attempt with its answer, and the dead letter."""
    world.api.dispatch.target.answers["1"] += [Retry(reason="answered 503"), Reject(reason="answered 422")]
    await world.api.dispatch.append(1, key="k")
    async with world.api.dispatch.running():
        await world.api.dispatch.turn(5)
    story = await browser.get("/events/1")
    steps = re.findall("<strong>([^<]+)</strong>", story.text.partition('<ol class="timeline">')[2])

    assert [each.split(":")[0] for each in steps[:5]] == [
        "Committed in Salesforce, in channel /data/ChangeEvents.",
        "Appended to the log",
        "Attempt fails (other).",
        "Attempt fails (rejected).",
        "Became a dead letter (rejected).",
    ]
    assert "answered 503" in story.text
    assert 'class="badge bad" title="target">dead letter<' in story.text


async def test_events_are_listed_and_filtered_by_their_outcome(world: World, browser: Browser) -> None:
    """With a histogram of the listed events above the list."""
    await world.api.fail("bad", key="001000000000002AAA")
    await world.api.deliver("good")
    world.api.log.receipts.append(replace(a_receipt("good"), subscriber=TARGET))
    every, dead = await browser.get("/events"), await browser.get("/events?outcome=dead")

    assert 'title="target">dead letter</span>' in every.text
    assert 'title="target">delivered</span>' in every.text
    assert "1 dead letter, 1 delivered." in every.text
    assert {each.partition("?")[0] for each in links(dead, "/events/")} == {"/events/bad"}
    assert '<option value="dead" selected>dead letter</option>' in dead.text
    assert "compared the outcomes of 2 events" in dead.text


async def test_search_form_folds_what_nobody_has_asked_for(browser: Browser) -> None:
    """On a phone, the events come first; a filter in use stays in sight."""
    folded, unfolded = await browser.get("/events?record=1"), await browser.get("/events?type=x")

    assert "<details>" in folded.text
    assert "<details open>" in unfolded.text


async def test_stories_are_reached_from_failures_letters_and_parked_keys(
    world: World, browser: Browser
) -> None:
    """By links that find the event."""
    await world.api.fail(1, key="k")
    world.api.dispatch.target.answers["2"] += [Retry(reason="answered 503")] * 20
    await world.api.dispatch.append(2, key="parked")
    async with world.api.dispatch.running() as dispatcher:
        world.api.daemon.dispatchers[TARGET] = dispatcher
        await world.api.dispatch.turn(30)
        for path in ("", "/dead-letters"):
            assert [each.partition("?")[0] for each in links(await browser.get(path), "/events/")] == [
                "/events/1"
            ]
        [parked] = links(await browser.get("/parked"), "/parked/story")
        answer = await browser.get(parked)
        gone = await browser.get(parked.replace("offset=", "offset=9"))

    assert (answer.status, answer.place.partition("?")[0]) == (303, "/console/events/2")
    assert "The event is parked: " in (await browser.get(answer.place.removeprefix("/console"))).text
    assert (gone.status, "reload the page with the parked keys" in gone.text) == (404, True)


async def test_hostile_event_is_text_everywhere(world: World, browser: Browser) -> None:
    """Its id, key, channel and fields, and what a target has answered."""
    id_ = f'a/b?c#d&"{EVIL}%2F..'
    data = {"changed_fields": [EVIL, JWT, {"x": EVIL}], "entity": EVIL, "fields": {EVIL: f"{EVIL} {JWT}"}}
    event = replace(an_event(id_, key=EVIL, data=data), subject=EVIL)
    await append_to(world.api.log, an_append(event))
    world.api.log.receipts.append(replace(a_receipt(id_), subscriber=TARGET, answer={EVIL: EVIL, "jwt": JWT}))
    found = await browser.get("/events")
    [address] = links(found, "/events/")
    tail, story = await browser.get("/tail"), await browser.get(address)
    odd = await browser.get(f"/events?record={EVIL}&type={EVIL}&channel={EVIL}")
    missing = await browser.get(f"/events/{EVIL}")

    assert (story.status, missing.status) == (200, 404)
    for page in (found, tail, story, odd, missing):
        assert "<script>alert" not in page.text
        assert JWT not in page.text
    assert "&lt;script&gt;" in story.text
    assert "The target&#39;s answer" in story.text or "The target's answer" in story.text


async def test_story_of_what_could_not_be_read_leads_to_its_letter(world: World, browser: Browser) -> None:
    """It is all that the log keeps."""
    letter = replace(a_dead_letter("/data/ChangeEvents:17"), event=None)
    world.api.keep(letter)
    story = await browser.get(f"/events/{letter.event_uuid}")

    assert (story.status, "Set aside by ingest" in story.text) == (200, True)
    assert "No subscriber got the event." in story.text


async def test_large_event_is_cut(world: World, browser: Browser) -> None:
    """A page of megabytes helps nobody."""
    await append_to(world.api.log, an_append(an_event("1", data={"text": "x" * 500_000})))
    story = await browser.get("/events/1")

    assert len(story.text) < 200_000
    assert "This page shows only the beginning" in story.text


async def test_log_that_is_away_is_told(world: World, browser: Browser) -> None:
    """On each of these pages."""
    world.api.context._log = world.api.context._tail = None
    for path in ("/events", "/events/1", "/tail", "/tail/rows"):
        answer = await browser.get(path)
        assert (answer.status, "The log is not open" in answer.text) == (503, True), path


def test_address_narrows_the_search() -> None:
    """It narrows by an exact type, and by the seconds around its time."""
    event = {"id": "a:1", "type": "salesforce.cdc.Account.updated", "time": "2026-01-01T00:00:10.500Z"}

    assert story_address(event) == (
        "/console/events/a:1?type=salesforce.cdc.Account.updated"
        "&since=2026-01-01T00%3A00%3A09.500Z&until=2026-01-01T00%3A00%3A11.500Z"
    )
    for odd in (
        {"type": "a,b", "time": "soon"},
        {"type": "*"},
        {"type": None},
        {"time": "0001-01-01T00:00:00Z"},
    ):
        assert story_address({"id": EventId("x/../y"), **odd}) == "/console/events/x%2F..%2Fy"


def test_subscribers_stand_behind_those_that_they_come_after() -> None:
    """Otherwise in their order; what comes after a subscriber that is gone is not lost."""
    accounts = [{"name": name, "after": after} for name, after in (("c", ["b"]), ("b", ["a"]), ("a", []))]

    assert [each["name"] for each in _accounts_in_order(accounts)] == ["a", "b", "c"]
    assert [each["name"] for each in _accounts_in_order([{"name": "x", "after": ["gone"]}])] == ["x"]


def test_row_is_short() -> None:
    """Whatever the event holds."""
    event = {
        "id": "1",
        "type": "t" * 5_000,
        "subject": None,
        "key": "k" * 5_000,
        "time": "2026-01-01T00:00:00Z",
        "channel": "c" * 5_000,
        "data": {"changed_fields": ["f" * 5_000] * 5_000},
        "topic": "t",
        "partition": 0,
        "offset": 1,
    }
    row = event_row(event)

    assert max(map(len, (row.type, row.key, row.channel, row.changed))) == 200
