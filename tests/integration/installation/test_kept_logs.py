"""This version continues the log of each release, and loses and repeats nothing."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.integration.installation.kept_log import (
    ALL,
    DELIVERED,
    KEPT,
    PARKED,
    REASON,
    REFUSED,
    WAITING,
    Order,
    World,
)
from tests.operating import Operator
from tests.waiting import until

LOGS = sorted(KEPT.glob("*.db"))
NEW = (Order(number=9, key="A"),)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An org that still has the events of the log, so that its positions are valid."""
    async with World.of(tmp_path) as made:
        made.place(ALL)
        yield made


def test_a_log_is_kept() -> None:
    """Without a log, the test below would test nothing."""
    assert [each.name for each in LOGS]


@pytest.mark.parametrize("log", LOGS, ids=lambda each: each.stem)
async def test_log_of_a_release_is_continued(log: Path, world: World) -> None:
    """Everything that waited in it is delivered: parked, paused, new, and the dead letter on command."""
    shutil.copy(log, world.log)
    async with Daemon.running(world.configuration(archives=True)) as daemon:
        operator = await Operator.of(daemon)
        [letter] = await operator.dead_letters(len(REFUSED))
        world.place(NEW)
        await until(lambda: len(world.archived) == len(ALL + NEW))
        [invoice] = [each for each in await _listed(operator) if each["name"] == "invoice"]
        assert (invoice["switch"], invoice["reason"]) == ("paused", REASON)
        assert world.invoiced == []

        assert (await operator.call("subscribers", "resume", "invoice")).status == 0
        await until(lambda: len(world.invoiced) == len(PARKED + WAITING + NEW))
        assert (await operator.call("deadletters", "redrive", letter["id"], "--yes", "--wait")).status == 0
        await until(lambda: len(world.rows("receipts")) == len(ALL + NEW))
        assert await daemon.stop() == 0

    assert [each["id"] for each in world.rows("events")] == [each.uuid for each in ALL + NEW]
    # Keys are delivered at the same time, so only the events of one key have an order.
    assert sorted(world.archived) == [each.uuid for each in ALL + NEW]
    assert sorted(world.invoiced) == [each.number for each in REFUSED + PARKED + WAITING + NEW]
    assert world.invoiced.index(6) < world.invoiced.index(7)
    receipts = [each["event_id"] for each in world.rows("receipts")]
    assert sorted(receipts) == [each.uuid for each in ALL + NEW]
    assert sorted(receipts[: len(DELIVERED)]) == [each.uuid for each in DELIVERED]


async def _listed(operator: Operator) -> list[dict[str, str]]:
    return list((await operator.call("subscribers", "list", "--json")).json["subscribers"])
