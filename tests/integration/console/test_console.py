"""Every page and every action of the console, in one Chromium with one daemon."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize

from streamer.clock import SystemClock
from streamer.demo.world import DemoOptions, demo_world
from tests.configuration import ORDER_KEY
from tests.integration.console.browser import DESKTOP, PHONE, Scheme, Tab, chromium
from tests.integration.console.world import ORDERS, TOKEN, World
from tests.unit.console.world import World as Unread
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = {
    "map": "",
    "charts": "/charts",
    "channels": "/channels",
    "subscribers": "/subscribers",
    "subscriber": "/subscribers/shipment",
    "position": "/channels/position?channel=/event/Order_Placed__e",
    "position-preview": "/channels/position/preview?channel=/data/ChangeEvents&place=latest",
    "events": "/events?type=*.Order_Placed__e",
    "event": "",
    "tail": "/tail",
    "search": "/search?q=several+words",
    "glossary": "/glossary",
    "problems": "/problems",
    "dead-letters": "/dead-letters?subscriber=shipment&last=20",
    "redrive": "/dead-letters/redrive?subscriber=shipment",
    "discard": "/dead-letters/discard?key=1001",
    "redrives": "/redrives",
    "parked": "/parked",
    "continuity": "/continuity",
    "snapshots": "/snapshots",
    "configuration": "/configuration",
    "audit": "/audit",
}
PICTURE = ViewportSize(width=1100, height=700)
IN_THE_GUIDE: dict[str, tuple[str, ViewportSize, Scheme, str]] = {
    "map-light": ("map", PICTURE, "light", "section:has(> #numbers)"),
    "subscriber-dark": ("subscriber", PICTURE, "dark", "section:has(> #hour)"),
    "dead-letters-light": ("dead-letters", PICTURE, "light", "tbody tr >> nth=1"),
    "problems-light": ("problems", PICTURE, "light", "article >> nth=1"),
    "events-light": ("/events?channel=/data/ChangeEvents", PICTURE, "light", "tbody tr >> nth=1"),
    "event-phone-dark": ("1003", PHONE, "dark", ".timeline .step >> nth=3"),
}
"""Pages of docs/console.md: the window, the scheme, and the element at which the picture ends."""
OPERATOR = "Anna <b>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One daemon for all tests."""
    async with World.running(tmp_path_factory.mktemp("console")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def state(world: World, browser: Browser) -> Any:
    """The cookie of an operator who has signed in."""
    async with Tab.opened(browser, world.url) as tab:
        await tab.go("/sign-in")
        await tab.page.fill("#name", OPERATOR)
        await tab.page.fill("#token", TOKEN)
        await tab.page.click("text=Sign in >> nth=-1")
        await tab.page.wait_for_url("**/console")
        return await tab.page.context.storage_state()


@pytest_asyncio.fixture(loop_scope="module")
async def tab(world: World, browser: Browser, state: Any) -> AsyncIterator[Tab]:
    """A window in which the operator is signed in."""
    async with Tab.opened(browser, world.url, state=state) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reading(world: World, browser: Browser, state: Any) -> AsyncIterator[Tab]:
    """A window of the same operator, for all pages one after the other."""
    async with Tab.opened(browser, world.url, state=state) as found:
        yield found


@asynccontextmanager
async def sized(
    world: World, browser: Browser, state: Any, size: ViewportSize, scheme: Scheme
) -> AsyncIterator[Tab]:
    """Open a window of that size and scheme inside the context."""
    is_mobile = size["width"] == PHONE["width"]
    options = {"color_scheme": scheme, "is_mobile": is_mobile, "reduced_motion": "reduce"}
    async with Tab.opened(browser, world.url, size=size, state=state, **options) as found:
        yield found


def path_of(world: World, name: str) -> str:
    """Return the path of a page."""
    return world.stories[ORDERS[-1]] if name == "event" else PAGES[name]


@pytest.mark.parametrize("name", PAGES)
async def test_page_can_be_read_by_everybody(world: World, reading: Tab, name: str, tmp_path: Path) -> None:
    """Axe finds nothing in either scheme and on a phone, and no page is wider than its window."""
    page = reading.page
    await page.set_viewport_size(DESKTOP)
    await page.emulate_media(color_scheme="light")
    await reading.go(path_of(world, name))
    assert await reading.violations() == []
    await reading.shot(tmp_path / "light.png", whole=True)
    await page.emulate_media(color_scheme="dark")
    # The colours alone are others.
    assert await reading.violations("color-contrast") == []
    assert not await reading.overflows()
    await page.set_viewport_size(PHONE)
    assert await reading.violations() == []
    assert not await reading.overflows()
    await reading.shot(tmp_path / "phone.png", whole=True)
    # Only our own words are bold there: no event has brought an element along.
    assert await page.locator("b, script:not([src])").count() == 0
    assert await page.locator("h1").count() == 1


async def test_page_to_sign_in_can_be_read_by_everybody(world: World, browser: Browser) -> None:
    """Before there is a session too, and with a mistake."""
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        async with Tab.opened(browser, world.url, color_scheme=scheme) as tab:
            await tab.go("/audit")
            assert tab.page.url.endswith("/console/sign-in?next=%2Fconsole%2Faudit")
            assert await tab.violations() == []
            await tab.page.fill("#name", OPERATOR)
            await tab.page.fill("#token", "wrong")
            await tab.page.click("main button")
            assert await tab.said() == "This token is neither admin.token nor admin.reader_token."
            assert await tab.violations() == []
            # Chromium reports the status 403 as an error.
            tab.errors.clear()


async def test_map_shows_the_trouble_of_the_daemon(world: World, tab: Tab) -> None:
    """In the console and in the terminal, in the same words."""
    await tab.go("")
    verdict = await tab.page.inner_text(".verdict")
    live = await world.operator.call("flow", "--live")

    assert re.search(r"shipment: (.*, )?\d dead letters", verdict)
    assert re.search(r"warehouse: .*5 parked", verdict)
    assert "local sandbox" in await tab.page.inner_text("header")
    assert re.search(r"\[\d dead letters\]", live.output)
    assert "(local sandbox)" in live.output
    await tab.page.click("svg.wide a.tag:has-text('5 parked')")
    await tab.page.wait_for_url("**/parked?subscriber=warehouse")


async def test_operator_who_only_has_a_keyboard_pauses_a_subscriber(world: World, browser: Browser) -> None:
    """From the sign-in to the pause and back, with the focus in sight at each step."""
    async with Tab.opened(browser, world.url) as tab:
        await tab.go("/subscribers/archive")
        await tab.tab_to("Skip to the content")
        await tab.page.keyboard.press("Enter")
        await tab.tab_to("Your name")
        await tab.page.keyboard.type(OPERATOR)
        await tab.tab_to("Token")
        await tab.page.keyboard.type(TOKEN)
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url("**/console/subscribers/archive")
        await tab.tab_to("Reason")
        await tab.page.keyboard.type("no hands")
        await tab.tab_to("Pause")
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url("**?done=paused")
        assert "paused by Anna <b>" in await tab.page.inner_text("#live")
        await tab.tab_to("Resume")
        await tab.page.keyboard.press("Space")
        await tab.page.wait_for_url("**?done=resumed")
        await tab.tab_to("Sign out")


async def test_subscriber_is_paused_resumed_probed_and_tested(tab: Tab) -> None:
    """And the page says what came of it."""
    await tab.go("/subscribers")
    await tab.page.click("text=warehouse")
    await tab.page.fill("#reason", "a <script>alert(1)</script> of theirs")
    await pressed(tab.page, "Pause", "paused")
    assert "a <script>alert(1)</script> of theirs" in await tab.page.inner_text("#live")
    assert await tab.violations() == []
    await pressed(tab.page, "Resume", "resumed")
    await pressed(tab.page, "Probe", "probed")
    await tab.page.fill("#data", '{"fields": {"Order_No__c": "77"}}')
    await tab.page.click("text=Send a test event")
    await tab.page.wait_for_selector("text=Outcome of the test")
    assert "retry" in await tab.page.inner_text(".panel >> nth=0")
    assert await tab.violations() == []
    await tab.page.fill("#data", "[")
    await tab.page.click("text=Send a test event")
    assert await tab.said() == "The test event's data must be JSON."
    assert await tab.violations() == []
    tab.errors.clear()


async def test_page_draws_itself_anew(world: World, tab: Tab) -> None:
    """Ten seconds later, unless the reader stops that."""
    await tab.page.clock.install()
    await tab.go("/subscribers")
    assert (await world.operator.call("subscribers", "pause", "archive")).status == 0
    await tab.page.clock.run_for(10_000)
    await tab.page.wait_for_selector(".badge:text('paused')")
    await tab.page.click("text=Stop refreshing")
    assert (await world.operator.call("subscribers", "resume", "archive")).status == 0
    await tab.page.clock.run_for(30_000)
    await tab.page.click("text=Refresh by itself")
    assert await tab.page.locator(".badge", has_text="paused").count() == 1
    await tab.page.clock.run_for(10_000)
    await tab.page.wait_for_selector(".badge:text('paused')", state="detached")


async def test_letters_are_inspected_redriven_and_discarded(tab: Tab) -> None:
    """Each after a preview that counts them; an open redrive is cancelled."""
    await tab.go("/dead-letters")
    await tab.page.select_option("#subscriber", "shipment")
    await tab.page.fill("#key", "1002")
    await tab.page.click("text=Show")
    await tab.page.click("tbody a >> nth=0")
    assert "422" in await tab.page.inner_text(".pairs")
    assert await tab.violations() == []
    assert '"Order_No__c": "1002"' in await tab.page.inner_text("pre >> nth=-1")
    await tab.page.click("text=Preview a discard")
    await pressed(tab.page, "Discard 1 letter", "discarded")

    await tab.page.click("text=Preview a redrive")
    await tab.page.fill("#per_second", "0.1")
    await tab.page.click("text=/Redrive \\d letters/")
    await tab.page.wait_for_url("**/redrives?done=ordered")
    assert await tab.violations() == []
    await pressed(tab.page, "Cancel", "cancelled")
    assert f"cancelled by {OPERATOR}" in await tab.page.inner_text("#live")


async def test_problem_leads_to_its_remedy(tab: Tab) -> None:
    """The page names each cause once, and its first link opens the preview of the redrive."""
    await tab.go("/problems")
    panel = tab.page.locator("article", has_text="dead letters").first
    said = await panel.inner_text()
    assert "422" in said
    assert "What to do:" in said
    assert await tab.page.locator("article", has_text="parked event").count() == 1
    await panel.get_by_role("link", name="Preview a redrive").click()
    assert await tab.page.inner_text("h1") == "Redrive dead letters"


async def test_one_field_finds_a_key_a_record_a_type_and_a_time(world: World, tab: Tab) -> None:
    """It leads to the right page, which says what was understood; other texts get advice."""
    story = world.stories[ORDERS[0]]
    for text, place, said in (
        (ORDERS[0], "events?record=1001", "taken as a record or a key"),
        ("Order_Placed__e", "events?type=", "is a type of events"),
        ("15 min ago", "events?since=", "is a time"),
        (story.removeprefix("/events/"), "events/", "is the id of an event"),
        ("shipment", "subscribers/shipment", "is the name of a subscriber"),
    ):
        await tab.go("/audit")
        await tab.page.fill("#q", text)
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url(re.compile(f"/console/{re.escape(place)}"))
        assert said in await tab.said(), text
    await tab.page.fill("#q", "order of Acme")
    await tab.page.keyboard.press("Enter")
    await tab.page.wait_for_url(re.compile("/console/search"))
    assert "several words" in await tab.said()


async def test_reader_sees_local_times_and_copies_ids(world: World, browser: Browser, state: Any) -> None:
    """A script adds both; the text of the page stays in UTC."""
    permissions = ["clipboard-read", "clipboard-write"]
    zone: dict[str, Any] = {"timezone_id": "America/New_York", "locale": "en-US", "permissions": permissions}
    async with Tab.opened(browser, world.url, state=state, **zone) as tab:
        await tab.go(world.stories[ORDERS[0]])
        assert (await tab.page.get_attribute("time >> nth=0", "data-local") or "").endswith(("EST", "EDT"))
        assert "EST" not in await tab.page.inner_text("main")
        other_day = "2026-01-31T02:00:00+00:00"
        await tab.page.evaluate(f"""document.querySelector("main").insertAdjacentHTML(
            "beforeend", '<time id="other" datetime="{other_day}">{other_day}</time>')""")
        await tab.page.wait_for_selector("#other[data-local='Jan 30, 09:00 PM EST']")
        assert await tab.violations() == []
        await tab.page.click("button:text('Copy') >> nth=0")
        await tab.page.wait_for_selector("button:text('Copied')")
        assert await tab.page.evaluate("navigator.clipboard.readText()") == ORDERS[0]


async def test_snapshot_is_forecast_ordered_paused_resumed_and_cancelled(world: World, tab: Tab) -> None:
    """While Salesforce refuses to read, so that it does not end by itself."""
    await tab.go("/snapshots")
    await tab.page.fill("#entity", "Account")
    await tab.page.click("text=Count the records")
    await tab.page.wait_for_selector("text=Cost of the snapshot")
    assert "20" in await tab.page.inner_text(".pairs")
    assert await tab.violations() == []
    world.sandbox.faults.refuse_call(on=["read"], times=None)
    await pressed(tab.page, "Order the snapshot", "snapshot-ordered")
    await pressed(tab.page, "Pause", "snapshot-pause")
    await pressed(tab.page, "Resume", "snapshot-resume")
    assert await tab.violations() == []
    await pressed(tab.page, "Cancel", "snapshot-cancel")
    world.sandbox.faults.heal("refuse_call")

    async def ended() -> bool:
        await tab.go("/snapshots")
        return await tab.page.locator("td:has-text('cancelling')").count() == 0

    await until(ended)


async def test_event_is_searched_and_its_story_leads_on(tab: Tab) -> None:
    """From the search to the story, its dead letter and back, and from a failure and a parked key."""
    await tab.go("/events")
    await tab.page.fill("#record", "1003")
    await tab.page.click("text=/^More filters/")
    await tab.page.fill("#type", "*.Order_Placed__e")
    await tab.page.click("main button:text('Search')")
    assert "The search has covered the whole log" in await tab.page.inner_text("#reach")
    await tab.page.click("tbody a")
    await tab.page.click("text=/^Dead letter of/")
    await tab.page.click("text=the event's story")
    assert '"Order_No__c": "1003"' in await tab.page.inner_text("pre")
    assert "The event is parked: " in await tab.page.inner_text("article:has-text('warehouse')")
    steps = [each.split("\n") for each in await tab.page.locator(".timeline .what").all_inner_texts()]
    assert [each[0] for each in steps[:1]] == ["Committed in Salesforce, in channel /event/Order_Placed__e."]
    assert ["shipment: Became a dead letter (rejected)."] in steps
    assert steps[-1] == ["warehouse: The next attempt is due."]
    await tab.page.click("text=1003 >> nth=0")
    await tab.page.wait_for_url("**/events?record=1003")
    for path in ("", "/parked"):
        await tab.go(path)
        await tab.page.click(
            "a[href*='/events/'] >> nth=0" if not path else "text=the event's story >> nth=0"
        )
        assert await tab.page.inner_text("h1") == "Event"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
async def test_types_and_paths_break_at_dots_and_slashes_alone(
    world: World, browser: Browser, state: Any, size: ViewportSize
) -> None:
    """A part between two of them stands on one line, and the form leaves room for the events."""
    async with sized(world, browser, state, size, "light") as tab:
        await tab.go("/events")
        broken = await tab.page.evaluate(
            """() => [...document.querySelectorAll(".path")].flatMap((cell) => {
                const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
                while (texts.nextNode()) {
                    const range = document.createRange();
                    range.selectNodeContents(texts.currentNode);
                    const tops = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
                    if (texts.currentNode.data.trim() && tops.size > 1) found.push(texts.currentNode.data);
                }
                return found;
            })"""
        )
        form = await tab.page.locator("form.filter").bounding_box()
        assert broken == []
        assert form is not None
        assert form["height"] < size["height"] / 2


async def test_events_of_one_outcome_are_shown(tab: Tab) -> None:
    """Each row has its outcome, and the picture above has their numbers."""
    await tab.go("/events")
    await tab.page.click("text=/^More filters/")
    await tab.page.select_option("#outcome", "dead")
    await tab.page.click("main button:text('Search')")
    rows = await tab.page.locator("tbody tr").all_inner_texts()
    assert rows
    assert all("1 dead letter" in row for row in rows)
    assert f"{len(rows)} dead letter" in await tab.page.inner_text(".over-time figcaption")
    assert await tab.violations() == []


async def test_search_goes_further_by_its_cursor(tab: Tab) -> None:
    """And back to the beginning."""
    await tab.go("/events?type=*.Order_Placed__e&limit=2&order=oldest")
    first = await tab.page.inner_text("tbody")
    await tab.page.click("text=Search further")
    assert await tab.page.locator("tbody tr").count() == 2
    assert await tab.page.inner_text("tbody") != first
    await tab.page.click("text=To the beginning")
    assert await tab.page.inner_text("tbody") == first


async def test_tail_adds_new_events_until_it_is_paused(world: World, tab: Tab) -> None:
    """Hostile ones as text; what waits is counted, and shown afterwards."""
    await tab.go("/tail?type=*.Order_Placed__e")
    await tab.page.wait_for_selector(".refreshing :text('Following.')")
    before = await tab.page.locator("#tail tbody tr").count()
    publish(world, "<i>2001</i>", "2002")
    await tab.page.wait_for_selector("tbody tr >> nth=0 >> text=2002")
    assert await tab.page.locator("#tail tbody tr").count() == before + 2
    assert await tab.page.locator("tbody i").count() == 0
    assert "2 new events shown; 0 dropped" in await tab.page.inner_text("#counts")
    assert await tab.violations() == []
    await tab.page.click("text=Pause")
    publish(world, "2003")
    await tab.page.wait_for_selector("#counts:has-text('1 wait')")
    assert "2003" not in await tab.page.inner_text("tbody")
    await tab.page.click("button:text('Follow')")
    await tab.page.wait_for_selector("tbody tr >> nth=0 >> text=2003")


async def test_tail_without_motion_begins_paused(world: World, browser: Browser, state: Any) -> None:
    """And its rows are bounded, however many come."""
    async with Tab.opened(browser, world.url, state=state, reduced_motion="reduce") as tab:
        await tab.go("/tail?record=of-many")
        await tab.page.wait_for_selector(".refreshing :text('Paused: new events wait.')")
        # The stream tells what is appended once it follows, and the page is drawn again then.
        publish(world, *["of-many"] * 230)

        async def counted() -> bool:
            counts = re.findall(r"(\d+) (?:wait|dropped)", await tab.page.inner_text("#counts"))
            return sum(map(int, counts)) == 230

        await until(counted)
        assert await tab.page.locator("tbody tr").count() == 0
        await tab.page.click("button:text('Follow')")
        await tab.page.wait_for_selector("tbody tr")
        assert await tab.page.locator("tbody tr").count() <= 200


async def test_position_is_previewed_and_ordered(tab: Tab) -> None:
    """The preview names repeated and lost events; a reset to the beginning leaves out logged ones."""
    await tab.go("/channels")
    await tab.page.click("table >> nth=1 >> text='/event/Order_Placed__e'")
    await tab.page.select_option("#place", "earliest")
    await tab.page.check("#repeat")
    await tab.page.click("text=Preview")
    assert "Repeated: the events since" in await tab.page.inner_text("#effect")
    await tab.page.click("text=Back without a change")
    await tab.page.select_option("#place", "earliest")
    await tab.page.click("text=Preview")
    assert "Repeated: nothing. " in await tab.page.inner_text("#effect")
    await pressed(tab.page, "Set the position", "position-ordered")
    await tab.go("/audit")
    assert "position.ordered" in await tab.page.inner_text("tbody tr >> nth=0")


async def test_order_that_waits_is_cancelled(browser: Browser) -> None:
    """In a daemon whose channels no process reads."""
    world = Unread()
    async with world.opened() as served, Tab.opened(browser, served.origin) as tab:
        await tab.go("/sign-in?next=/console/channels/position%3Fchannel%3D/data/ChangeEvents")
        await tab.page.fill("#name", OPERATOR)
        await tab.page.click("main button")
        await tab.page.select_option("#place", "latest")
        await tab.page.click("text=Preview")
        pressing = asyncio.create_task(pressed(tab.page, "Set the position", "position-ordered"))
        while not pressing.done():
            # The page waits some seconds for a process that carries the order out.
            await world.api.clock.turn(1)
            await asyncio.sleep(0.05)
        await pressing
        await tab.page.click("table >> nth=1 >> text='/data/ChangeEvents'")
        assert f"{OPERATOR} ordered to continue reading" in await tab.page.inner_text("#main")
        assert await tab.violations() == []
        await pressed(tab.page, "Cancel the order", "position-cancelled")


async def test_won_opportunity_of_the_demo_is_two_clicks_away(browser: Browser, tmp_path: Path) -> None:
    """From the demo's address, one click leads to the events and a second to the won opportunity."""
    async with demo_world(DemoOptions(per_second=20, directory=tmp_path), SystemClock()) as demo:
        winning = asyncio.create_task(demo.accounts.scenario.run(), name="scenario")

        async def arrived() -> bool:
            report = demo.accounts.report()
            return report.sent > 10 and report.lost == 0

        await asyncio.sleep(0.5)
        winning.cancel()
        await until(arrived)
        address = demo.console_url.removesuffix("/console")
        async with Tab.opened(browser, address) as tab:
            await tab.page.goto(demo.console_url)
            await tab.page.click("nav >> text=Events")
            await tab.page.click("tr:has-text('StageName') >> text=salesforce.cdc.Opportunity.updated")
            assert '"StageName": "Closed Won"' in await tab.page.inner_text("pre")
            for name in ("invoice", "shipment"):
                assert "Delivered at" in await tab.page.inner_text(f"article:has(h3:has-text('{name}'))")


def publish(world: World, *names: str) -> None:
    """Place orders of these names."""
    for name in names:
        world.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: name})


async def test_page_works_without_a_script(world: World, browser: Browser, state: Any) -> None:
    """A change is a form, and a reload draws the page again."""
    async with Tab.opened(browser, world.url, state=state, java_script_enabled=False) as tab:
        await tab.go("/subscribers/archive")
        await pressed(tab.page, "Pause", "paused")
        await pressed(tab.page, "Resume", "resumed")
        assert await tab.page.locator("text=Stop refreshing").count() == 0


async def test_configuration_shows_no_secret(tab: Tab) -> None:
    """As `streamer check --print` does not."""
    await tab.go("/configuration")
    shown = await tab.page.inner_text("#configuration")

    assert "client_secret: '***'" in shown
    assert not re.search(f"sandbox-secret|{TOKEN}", await tab.page.content())


async def test_every_change_is_in_the_audit_with_its_operator(tab: Tab) -> None:
    """Under the name that was given at the sign-in."""
    await tab.go("/subscribers/archive")
    await pressed(tab.page, "Probe", "probed")
    await tab.go("/audit?last=200")
    rows = await tab.page.locator("tbody tr").all_inner_texts()
    assert await tab.violations() == []

    assert any("subscriber.probed" in row and OPERATOR in row for row in rows)
    await tab.page.click("text=Sign out")
    await tab.page.wait_for_url("**/sign-in?done=signed-out")
    await tab.page.goto("/console/audit")
    assert "/console/sign-in" in tab.page.url


async def test_pictures_of_the_guide_are_drawn(world: World, browser: Browser, tmp_path: Path) -> None:
    """Into the folder that STREAMER_SCREENSHOTS names, if it names one."""
    folder = Path(os.environ.get("STREAMER_SCREENSHOTS", tmp_path))
    async with Tab.opened(browser, world.url) as tab:
        await tab.go("/sign-in")
        await tab.page.fill("#name", "Anna")
        await tab.page.fill("#token", TOKEN)
        await tab.page.click("main button")
        await tab.page.wait_for_url("**/console")
        state = await tab.page.context.storage_state()
    for name, (page, size, scheme, last) in IN_THE_GUIDE.items():
        async with sized(world, browser, state, size, scheme) as tab:
            await tab.go(world.stories.get(page) or PAGES.get(page, page))
            await tab.picture(folder / f"console-{name}.png", ".top", last)
            assert (folder / f"console-{name}.png").stat().st_size < 150_000
    assert len(ORDERS) > 1


async def pressed(page: Page, button: str, done: str) -> None:
    """Press a button, and wait for the page that says what is done."""
    await page.get_by_role("button", name=re.compile(f"^{button}")).first.click()
    await page.wait_for_url(f"**?done={done}")
