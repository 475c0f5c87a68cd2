"""Watching a redrive ends when the redrive does, however it ends, and says how."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamer.admin import redrives
from streamer.cli.api import Api
from streamer.cli.progress import followed
from streamer.controls import LetterFilter, Redrive
from tests.unit.admin.world import Asking, World


@pytest.fixture
def world() -> World:
    """The API, and a log in memory."""
    return World()


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asking]:
    """Whoever else asks that API; two letters can be redriven."""
    await world.fail(1, 2)
    await world.clock.turn(1)
    async with world.asking() as asking:
        yield asking


def watching(world: World, ask: Asking, order: str) -> "asyncio.Task[bool]":
    """Watch a redrive of two letters."""
    api = Api(url=str(ask.client.make_url("/")))
    return asyncio.create_task(followed(api, [order], 2, world.clock))


async def turned(world: World, task: "asyncio.Task[bool]", *, looks: int = 10_000) -> None:
    """Let so many looks be taken, or as many as it takes."""
    async with asyncio.timeout(20):
        while looks and not task.done():
            looks -= 1
            await world.clock.turn(0.5)
            await asyncio.sleep(0.02)


async def watched(world: World, ask: Asking, order: str) -> bool:
    """Watch a redrive to its end; tell whether it was not cancelled."""
    task = watching(world, ask, order)
    await turned(world, task)
    return await task


async def test_end_is_told(world: World, ask: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    """With how many were handed over."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await world.carry_out()

    assert await watched(world, ask, order)
    assert "2 events handed to delivery" in capsys.readouterr().out


async def test_cancelled_redrive_ends_the_watching(
    world: World, ask: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says by whom, and how many letters were left."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await ask.post(f"/redrives/{order}/cancel", by="[b]anna")

    assert not await watched(world, ask, order)
    output = capsys.readouterr().out
    assert f"Redrive {order} was cancelled by [b]anna, with 2 dead letters left." in output
    assert "0 events handed to delivery" in output


async def test_end_that_the_audit_tells_no_more_ends_the_watching(
    world: World, ask: Asking, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as when a thousand other things were done since."""
    monkeypatch.setattr(redrives, "MOST_LETTERS", 1)
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await world.carry_out()
    await ask.post("/subscribers/idle/pause")

    assert await watched(world, ask, order)
    assert "how it ended is not among the latest records" in capsys.readouterr().out


async def test_order_is_watched_though_the_log_tells_of_it_late(world: World, ask: Asking) -> None:
    """A log may need a moment; then it takes as long as it takes."""
    task = watching(world, ask, "r")
    await turned(world, task, looks=4)
    await world.log._switches.order(
        Redrive(id="r", letters=LetterFilter(), per_second=1, by="x", at=world.clock.now())
    )
    await turned(world, task, looks=30)
    assert not task.done()
    await ask.post("/redrives/r/cancel")
    await turned(world, task)

    assert not await task
