"""A real Chromium, and pages that may load only the console's own files and must have no errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, FloatRect, Page, ViewportSize, async_playwright

Scheme = Literal["light", "dark"]

PHONE = ViewportSize(width=375, height=740)
DESKTOP = ViewportSize(width=1280, height=860)

_OPTIONS = ("--no-sandbox", "--disable-background-networking")
_TABS = 80
_MARGIN_PX = 10
# The next row of a table begins without a space.
_END_PX = 3
# Visible lines of text that a horizontal edge cuts.
_CUT = """(edges) => {
    const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        if (!texts.currentNode.data.trim() || !texts.currentNode.parentElement.checkVisibility()) continue;
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        for (const line of range.getClientRects())
            for (const edge of edges)
                if (line.top + scrollY < edge - 1 && line.bottom + scrollY > edge + 1)
                    found.push(texts.currentNode.data.trim());
    }
    return found;
}"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Debian's Chromium, which asks nobody for updates."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=which("chromium"), args=[*_OPTIONS])
        yield browser
        await browser.close()


@dataclass
class Tab:
    """A page in a window of its own, what it asked for, and the errors that it made."""

    page: Page
    base: str
    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, browser: Browser, base: str, *, size: ViewportSize = DESKTOP, state: Any = None, **options: Any
    ) -> AsyncIterator["Tab"]:
        """Open a window inside the context; at its end, all requests went to `base` and nothing failed."""
        context: BrowserContext = await browser.new_context(
            base_url=base, viewport=size, storage_state=state, **options
        )
        context.set_default_timeout(15_000)
        tab = cls(page=await context.new_page(), base=base)
        tab.page.on("request", lambda request: tab.asked.append(request.url))
        tab.page.on("console", lambda said: tab.errors.append(said.text) if said.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        yield tab
        await context.close()
        assert [url for url in tab.asked if not url.startswith(f"{base}/console")] == []
        assert tab.errors == []

    async def go(self, path: str) -> None:
        """Show the page at a path of the console."""
        answer = await self.page.goto(f"/console{path}")
        assert answer is not None
        assert answer.status == 200, await self.page.inner_text("body")

    async def violations(self, *rules: str) -> list[str]:
        """Return what axe finds wrong with the page, by these `rules` or by all, with the elements."""
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        found = await Axe().run(self.page, options=options)
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
            for each in found.response["violations"]
        ]

    async def overflows(self) -> bool:
        """Tell whether the page is wider than its window."""
        wide: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return wide

    async def tab_to(self, name: str) -> None:
        """Press the tabulator key until the element of that text or label has the focus, in sight."""
        for _ in range(_TABS):
            await self.page.keyboard.press("Tab")
            found, outline = await self.page.evaluate(
                """() => {
                    const e = document.activeElement;
                    const label = e.labels?.length ? e.labels[0].innerText : e.innerText;
                    return [(label ?? "").trim(), getComputedStyle(e).outlineStyle];
                }"""
            )
            if found == name:
                assert outline != "none", f"the focus on {name} can't be seen"
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    async def said(self) -> str:
        """Return the notice of the page."""
        return await self.page.inner_text(".notice")

    async def shot(self, path: Path, *, whole: bool = False) -> None:
        """Write a picture of the window, or of the `whole` page."""
        await self.page.screenshot(path=path, full_page=whole, animations="disabled")

    async def picture(self, path: Path, first: str, last: str) -> None:
        """Write a picture from the top of the element `first` to the end of `last`, which cuts no line."""
        boxes = [
            await self.page.locator(f"{each} >> visible=true").first.bounding_box() for each in (first, last)
        ]
        begin, end = boxes
        assert begin is not None
        assert end is not None
        scrolled: float = await self.page.evaluate("scrollY")
        top = max(0.0, begin["y"] + scrolled - _MARGIN_PX)
        bottom = end["y"] + end["height"] + scrolled + _END_PX
        cut = await self.page.evaluate(_CUT, [top, bottom])
        assert cut == [], f"{cut} at {top} or {bottom}"
        width: float = await self.page.evaluate("innerWidth")
        clip = FloatRect(x=0, y=top, width=width, height=bottom - top)
        await self.page.screenshot(path=path, full_page=True, clip=clip, animations="disabled")
