"""Watching a redrive ends together with the redrive, and reports how it ended."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from streamer.admin import redrives
from streamer.cli.operating.api import Api
from streamer.cli.progress import followed
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord, LetterFilter, Redrive
from tests.unit.admin.world import Asking, World
from tests.waiting import limited


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


class Watching:
    """Somebody watches a redrive of two letters, by a clock of their own."""

    def __init__(self, ask: Asking, order: str) -> None:
        """Begin to."""
        self._clock = TurnedClock()
        api = Api(url=str(ask.client.make_url("/")))
        self.task = asyncio.create_task(followed(api, [order], 2, self._clock))

    async def look(self, times: int = 10_000) -> None:
        """Let so many looks be taken, or as many as it takes."""
        async with limited("the looks"):
            while times and not self.task.done():
                times -= 1
                # The answer comes over a socket.
                while not self._clock.waiting and not self.task.done():  # noqa: ASYNC110 - it is a client's
                    await asyncio.sleep(0)
                await self._clock.turn(0.5)


async def watched(ask: Asking, order: str) -> bool:
    """Watch a redrive to its end; tell whether it was not cancelled."""
    watching = Watching(ask, order)
    await watching.look()
    return await watching.task


async def test_end_is_told(world: World, ask: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    """With how many were handed over."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await world.carry_out()

    assert await watched(ask, order)
    assert "2 events redriven" in capsys.readouterr().out


async def test_letters_that_were_superseded_meanwhile_are_told(
    world: World, ask: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are not among those that were redriven."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    left_out = AuditRecord(
        at=0.0, what="redrive.superseded", by="streamer", detail={"id": order, "letters": 1}
    )
    await world.log.controls.note(left_out)
    await world.carry_out()

    assert await watched(ask, order)
    output = " ".join(capsys.readouterr().out.split())
    assert "1 event redriven" in output
    assert "1 event not redriven, because a later event of the same key was already delivered" in output


async def test_cancelled_redrive_ends_the_watching(ask: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    """It says by whom, and how many letters were left."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await ask.post(f"/redrives/{order}/cancel", by="[b]anna")

    assert not await watched(ask, order)
    output = capsys.readouterr().out
    assert f"Redrive {order} was cancelled by [b]anna; 2 dead letters left." in output
    assert "0 events redriven" in output


async def test_end_that_the_audit_tells_no_more_ends_the_watching(
    world: World, ask: Asking, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as when a thousand other things were done since."""
    monkeypatch.setattr(redrives, "MOST_LETTERS", 1)
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    await world.carry_out()
    await ask.post("/subscribers/idle/pause")

    assert await watched(ask, order)
    assert "the latest audit records do not show the result" in capsys.readouterr().out


async def test_order_is_watched_though_the_log_tells_of_it_late(world: World, ask: Asking) -> None:
    """A log may need a moment; then it takes as long as it takes."""
    watching = Watching(ask, "r")
    await watching.look(times=4)
    order = Redrive(id="r", letters=LetterFilter(), per_second=1, by="x", at=world.clock.now())
    await world.log.controls.order(order, AuditRecord(at=order.at, what="redrive.ordered", by="x"))
    await watching.look(times=30)
    assert not watching.task.done()
    await ask.post("/redrives/r/cancel")
    await watching.look()

    assert not await watching.task
