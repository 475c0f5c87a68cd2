"""The map in a real Chromium: readable on a desktop and on a phone, with few and with many parts."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize

from streamer.flow.flow_map import FlowMap
from streamer.flow.report import FlowFacts, FlowReport
from tests.integration.console.browser import DESKTOP, Tab, chromium
from tests.unit.console.world import World
from tests.unit.flow.maps import flow_map, many, subscriber, troubled_map

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = ViewportSize(width=390, height=844)
SMALLEST = ViewportSize(width=320, height=640)
MAPS = {
    "nothing": flow_map(channels=()),
    "one": flow_map([subscriber()]),
    "trouble": troubled_map(),
    "calm": flow_map([subscriber(name) for name in ("invoice", "shipment", "news", "archive", "audit")]),
    "sixty": flow_map(many(60)),
}
ONE_LINE_PX = 45
# Texts of the visible drawing that leave their box, and texts that are too small to read.
MISTAKES = """() => {
    const found = [];
    const map = [...document.querySelectorAll("svg.map")].find((each) => each.checkVisibility());
    const scale = map.getScreenCTM().a;
    for (const text of map.querySelectorAll("text")) {
        const px = parseFloat(getComputedStyle(text).fontSize) * scale;
        if (px < 11) found.push(`${text.textContent} is ${px} px high`);
    }
    for (const part of map.querySelectorAll(".part, .tag")) {
        const box = part.querySelector(":scope > rect").getBoundingClientRect();
        for (const text of part.querySelectorAll("text")) {
            const drawn = text.getBoundingClientRect();
            if (drawn.left < box.left || drawn.right > box.right || drawn.bottom > box.bottom + 1)
                found.push(`${text.textContent} leaves its box`);
        }
    }
    return found;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    async with chromium() as found:
        yield found


@asynccontextmanager
async def shown(
    browser: Browser, flow: FlowMap, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[Tab]:
    """Open the first page of a console that shows a map, inside the context."""

    async def facts(_: FlowReport) -> FlowFacts:
        return FlowFacts(map=flow)

    monkeypatch.setattr(FlowReport, "facts", facts)
    async with World().opened() as served, Tab.opened(browser, served.origin, **options) as tab:
        await tab.go("")
        yield tab


@pytest.mark.parametrize("name", MAPS)
async def test_map_can_be_read_by_everybody(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    """At every width and in both schemes, no text is too small, and none leaves its box."""
    folder = Path(os.environ.get("STREAMER_MAPS", tmp_path))
    async with shown(browser, MAPS[name], monkeypatch) as tab:
        for size in (DESKTOP, PHONE, SMALLEST):
            await tab.page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                await tab.page.emulate_media(color_scheme=scheme)
                assert await tab.violations() == []
                assert await tab.page.evaluate(MISTAKES) == []
                assert not await tab.overflows()
                await tab.shot(folder / f"{name}-{size['width']}-{scheme}.png", whole=True)


async def test_broken_part_is_in_the_first_screen(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixty subscribers, on a phone too, without a scroll."""
    for size in (DESKTOP, PHONE):
        async with shown(browser, MAPS["sixty"], monkeypatch, size=size) as tab:
            box = await tab.page.locator(".verdict a:text('subscriber-17')").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < size["height"]


async def test_part_and_badge_lead_to_their_pages(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pointer and with the keyboard."""
    async with shown(browser, MAPS["trouble"], monkeypatch) as tab:
        await tab.page.click("svg.wide a.tag:has-text('3 dead letters')", force=True)
        await tab.page.wait_for_url("**/dead-letters?subscriber=news")
        await tab.go("")
        await tab.page.focus("svg.wide a.tag:has-text('12 parked')")
        assert (
            await tab.page.evaluate(
                "getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth"
            )
            == "4px"
        )
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url("**/parked?subscriber=invoice")
        # The world of the test knows no such subscriber.
        tab.errors.clear()


async def test_map_is_drawn_again_without_a_reload(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ten seconds, as every page."""
    async with shown(browser, MAPS["calm"], monkeypatch) as tab:
        await tab.page.clock.install()
        await tab.go("")

        async def facts(_: FlowReport) -> FlowFacts:
            return FlowFacts(map=MAPS["trouble"])

        monkeypatch.setattr(FlowReport, "facts", facts)
        await tab.page.clock.run_for(10_000)
        await tab.page.wait_for_selector("h2:text('4 parts need attention')")


async def test_map_works_without_a_script(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not move then."""
    async with shown(browser, MAPS["trouble"], monkeypatch, java_script_enabled=False) as tab:
        await tab.page.click("svg.wide a.part:has-text('/data/ChangeEvents')")
        await tab.page.wait_for_url("**/channels")


@pytest.mark.parametrize("path", ["", "/tail", "/dead-letters", "/redrives", "/configuration"])
async def test_navigation_is_one_row_on_a_phone(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The sections stand beside each other and fit, and so do the pages of the open one."""
    async with shown(browser, MAPS["calm"], monkeypatch, size=PHONE) as tab:
        await tab.go(path)
        for row in ("nav.sections", "nav.pages"):
            boxes = [await each.bounding_box() for each in await tab.page.locator(f"{row} a").all()]
            found = [each for each in boxes if each is not None]
            assert len({round(each["y"]) for each in found}) == 1
            assert all(each["height"] < ONE_LINE_PX for each in found)
            ends = [each["x"] + each["width"] for each in found]
            assert (min(each["x"] for each in found) >= 0, max(ends) <= PHONE["width"]) == (True, True), ends
        assert re.search("production", await tab.page.inner_text("header"))
