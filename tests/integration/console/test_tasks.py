"""Five questions of an operator, each answered from the console's first page in at most two clicks."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ViewportSize

from tests.integration.console.browser import DESKTOP, PHONE, Scheme, Tab, chromium
from tests.integration.console.outage_world import OutageWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_CLICKS = 2
SINCE = r"since \d\d:\d\d UTC \(\d+ (s|min)\)"
WINDOWS: dict[str, tuple[ViewportSize, Scheme]] = {
    "light": (ViewportSize(width=1100, height=580), "light"),
    "dark": (ViewportSize(width=1100, height=580), "dark"),
    "phone": (ViewportSize(width=375, height=740), "light"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OutageWorld]:
    """One daemon for all tests."""
    async with OutageWorld.running(tmp_path_factory.mktemp("tasks")) as found:
        yield found


@dataclass
class Operator:
    """Somebody before the first page, whose clicks are counted; a search with Enter is one."""

    tab: Tab
    world: OutageWorld
    clicks: int = 0

    async def click(self, selector: str) -> None:
        """Click the first such element that can be seen."""
        self.clicks += 1
        await self.tab.page.locator(f"{selector} >> visible=true").first.click()
        await self.tab.page.wait_for_load_state()

    async def search(self, text: str) -> None:
        """Enter a text into the search field."""
        self.clicks += 1
        await self.tab.page.fill("#q", text)
        await self.tab.page.keyboard.press("Enter")
        await self.tab.page.wait_for_url("**/console/events?**")

    async def read(self, selector: str) -> str:
        """Return the text of the first such element that can be seen, in one line."""
        found = self.tab.page.locator(f"{selector} >> visible=true").first
        await found.scroll_into_view_if_needed()
        return " ".join((await found.text_content() or "").split())


async def down(operator: Operator) -> None:
    """Which target is down, and since when?"""
    said = await operator.read(".verdict")
    assert re.search(rf"slack: target down {SINCE}", said), said


async def not_shipped(operator: Operator) -> None:
    """Why did the order 801… not ship?"""
    await operator.search(operator.world.stuck)
    await operator.click("tbody a[href*='/events/']")
    said = await operator.read("article:has(h3:has-text('shipment'))")
    assert re.search(r"shipment dead letter .*answered 422", said), said


async def behind(operator: Operator) -> None:
    """How far behind is Slack?"""
    said = await operator.read("svg.map a.part:has-text('slack')")
    assert re.search(r"6 waiting, oldest \d+ (s|min)", said), said
    await operator.click("svg.map a.part:has-text('slack')")
    said = await operator.read("#live")
    assert re.search(r"6 events wait. The oldest was committed in Salesforce \d+ (s|min) ago.", said), said


async def to_do(operator: Operator) -> None:
    """Is there something that a person must do now?"""
    await operator.click("nav.sections a:text('Problems')")
    panels = await operator.tab.page.locator("article").all_inner_texts()
    assert any(re.search(r"slack: [^\n]*\n.*What to do: ", each, re.DOTALL) for each in panels), panels
    assert any(re.search(r"shipment: 1 dead letter.*What to do: ", each, re.DOTALL) for each in panels), (
        panels
    )


async def lost(operator: Operator) -> None:
    """Is anything lost?"""
    said = await operator.read("section:has(> #lost)")
    assert "nothing is lost No event is missing" in said, said
    assert "1 dead letter waits in the log until you redrive or discard it." in said, said


PICTURES = {
    "down": (".top", ".drawing"),
    "not-shipped": ("#subscribers", "article:has(h3:has-text('shipment'))"),
    "behind": ("h1", "#live > p >> nth=1"),
    "to-do": ("h1", "article >> nth=-1"),
    "lost": ("#lost", "section:has(> #lost)"),
}
"""Elements at which the picture of each answer begins and ends."""
TASKS = {each.__name__.replace("_", "-"): each for each in (down, not_shipped, behind, to_do, lost)}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_question_is_answered_in_two_clicks(
    world: OutageWorld, browser: Browser, name: str, size: ViewportSize
) -> None:
    """The answer is text on the page, and it is as near on a phone."""
    async with Tab.opened(browser, world.url, size=size, is_mobile=size is PHONE) as tab:
        await tab.go("")
        operator = Operator(tab, world)
        await TASKS[name](operator)
        assert operator.clicks <= MOST_CLICKS
        assert not await tab.overflows()


@pytest.mark.parametrize("window", WINDOWS)
async def test_pictures_of_the_answers_are_drawn(
    world: OutageWorld, browser: Browser, window: str, tmp_path: Path
) -> None:
    """Into the folder that STREAMER_SCREENSHOTS names, if it names one."""
    folder = Path(os.environ.get("STREAMER_SCREENSHOTS", tmp_path))
    size, scheme = WINDOWS[window]
    for name, task in TASKS.items():
        options = {"color_scheme": scheme, "is_mobile": window == "phone", "reduced_motion": "reduce"}
        async with Tab.opened(browser, world.url, size=size, **options) as tab:
            await tab.go("")
            await task(Operator(tab, world))
            picture = folder / f"task-{name}-{window}.png"
            await tab.picture(picture, *PICTURES[name])
            assert picture.stat().st_size < 110_000
