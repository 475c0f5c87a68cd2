"""The tail's page shows the newest events, and its stream adds the next ones, within bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from streamer.admin.events.tail import MOST_CLIENTS
from streamer.console.access import security_headers
from streamer.console.pages.events import MOST_ROWS
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.console.test_pages import EVIL, JWT
from tests.unit.console.world import Browser, World
from tests.waiting import turned


class Rows:
    """The stream that the script of the page reads."""

    def __init__(self, world: World, answer: Any) -> None:
        self.world = world
        self.answer = answer

    async def line(self) -> dict[str, Any]:
        """Return the next line, and turn the clock until it is there."""
        line = asyncio.create_task(self.answer.content.readline())
        await turned(self.world.api.clock, line.done, step_s=0.25)
        found: dict[str, Any] = orjson.loads(await line)
        return found

    async def rows(self) -> dict[str, Any]:
        """Return the next line that has rows."""
        while not (line := await self.line())["count"]:
            pass
        return line


@asynccontextmanager
async def rows_of(world: World, browser: Browser, query: str = "") -> AsyncIterator[Rows]:
    """Open the stream inside the context, and read until it follows."""
    async with browser.client.get(f"/console/tail/rows{query}") as answer:
        assert answer.status == 200, await answer.text()
        rows = Rows(world, answer)
        while "following" not in await rows.line():
            pass
        yield rows


async def append(world: World, *events: Any) -> None:
    """Append events."""
    await append_to(world.api.log, an_append(*events))


async def test_page_shows_the_newest_first_without_a_script(world: World, browser: Browser) -> None:
    """At most fifty of them, by the same filters as the stream."""
    await append(world, *(an_event(number, key=f"k{number % 2}") for number in range(120)))
    page = await browser.get("/tail")
    some = await browser.get("/tail?record=k1&type=salesforce.cdc.*&where=subject+!=+'x'")

    assert page.text.count('data-place="') == MOST_ROWS
    assert "reload the page for newer events" in page.text
    assert some.text.count('data-place="') == MOST_ROWS
    assert "k0" not in some.text
    assert "record=k1&amp;type=salesforce.cdc.%2A&amp;where=" in some.text


async def test_expression_that_fails_is_counted(world: World, browser: Browser) -> None:
    """The other events are shown."""
    fields = [{"fields": {"Name": value}} for value in (5, "abc")]
    await append(world, *(an_event(number, data=data) for number, data in enumerate(fields)))
    page = await browser.get("/tail?where=starts_with(data.fields.Name,'a')")

    assert "the expression fails on 1 event" in page.text
    assert page.text.count('data-place="') == 1


async def test_new_events_are_drawn_newest_first(world: World, browser: Browser) -> None:
    """With the headers of every answer, though they are sent before it ends."""
    async with rows_of(world, browser, "?record=k") as rows:
        assert dict(security_headers(())).items() <= dict(rows.answer.headers).items()
        await append(world, an_event("1", key="k"), an_event("2", key="other"), an_event("3", key="k"))
        line = await rows.rows()

    assert (line["count"], line["dropped"], line["skipped"]) == (2, 0, 0)
    assert 0 < line["rows"].index("/console/events/3?") < line["rows"].index("/console/events/1?")
    assert "/console/events/2" not in line["rows"]


async def test_hostile_event_is_text_in_the_stream(world: World, browser: Browser) -> None:
    """And what has the form of a secret is masked."""
    async with rows_of(world, browser) as rows:
        await append(world, an_event(EVIL, key=EVIL, data={"changed_fields": [EVIL, JWT]}))
        line = await rows.rows()

    assert "<script" not in line["rows"]
    assert "&lt;script&gt;" in line["rows"]
    assert JWT not in line["rows"]


async def test_rows_are_bounded_and_the_others_counted(world: World, browser: Browser) -> None:
    """A page that is drawn all the time would cost the daemon more than the events."""
    async with rows_of(world, browser) as rows:
        await append(world, *(an_event(number) for number in range(300)))
        shown = dropped = 0
        while shown + dropped < 300:
            line = await rows.line()
            assert line["count"] <= MOST_ROWS
            shown, dropped = shown + line["count"], dropped + line["dropped"]

    assert 0 < shown < 300


async def test_error_of_an_expression_is_masked(world: World, browser: Browser) -> None:
    """It quotes the event."""
    async with rows_of(world, browser, "?where=decimal(data.fields.Name)") as rows:
        await append(world, *(an_event(number, data={"fields": {"Name": JWT}}) for number in range(2)))
        while not (line := await rows.line())["failed"]:
            pass

    assert line["failed"] == 2
    assert "***" in line["error"]
    assert JWT not in line["error"]


async def test_stream_ends_after_some_minutes(world: World, browser: Browser) -> None:
    """So that a session which has ended is noticed when the page asks again."""
    async with rows_of(world, browser) as rows:
        await world.api.clock.turn(590)
        assert await rows.line()
        assert len(world.api.context.tail._clients) == 1
        await world.api.clock.turn(10)
        await turned(world.api.clock, lambda: not world.api.context.tail._clients, step_s=0.25)
        await rows.answer.content.read()
        assert rows.answer.content.at_eof()


async def test_stream_needs_a_session_and_a_free_place(world: World, browser: Browser) -> None:
    """As its page does, and the reason is told."""
    async with World(admin={"token": "x" * 16}).opened() as closed:
        assert (await closed.get("/tail/rows")).status == 303
    contexts = [world.api.context.tail.client(lambda _: True) for _ in range(MOST_CLIENTS)]
    for each in contexts:
        each.__enter__()
    refused = await browser.get("/tail/rows")
    for each in contexts:
        each.__exit__(None, None, None)
    assert (refused.status, "close another client first" in refused.text) == (409, True)


@pytest.mark.parametrize("path", ["/tail", "/tail/rows"])
async def test_mistake_in_an_expression_is_told(browser: Browser, path: str) -> None:
    """In a page, before anything is streamed."""
    answer = await browser.get(f"{path}?where=nmae")
    assert (answer.status, "where: " in answer.text) == (400, True)
