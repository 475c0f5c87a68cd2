"""The API orders redrives of a channel's dead letters."""

import pytest

from streamer.events import SubscriberName
from tests.contracts.values import a_dead_letter
from tests.messages import CHANGES
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET

ORDER = "/dead-letters/redrive"


@pytest.fixture(autouse=True)
async def later(world: World) -> None:
    """Letters that a test keeps were set aside before."""
    await world.clock.turn(10)


async def test_letters_of_a_channel_are_counted_and_ordered(world: World, ask: Asking) -> None:
    """By their stage and their channel; withheld ones have nothing to read."""
    world.keep(a_dead_letter("read"))
    world.keep(a_dead_letter("with its org"), channel=str(CHANGES))
    world.keep(a_dead_letter("withheld"), raw=b"")
    world.keep(a_dead_letter("other"), channel="/event/Order_Placed__e")
    world.keep(a_dead_letter("delivered"), subscriber=TARGET)
    status, counts = await ask.post(ORDER, channel=CHANGES.path, dry_run=True)
    _, ordered = await ask.post(ORDER, channel=CHANGES.path, by="anna", per_second=5)
    [order] = (await world.context.control_state()).redrives.values()

    assert (status, counts["matching"], counts["deliverable"], counts["redrives"]) == (200, 3, 2, [])
    assert (ordered["redrives"], order.by, order.per_second) == ([order.id], "anna", 5)
    admitted = {letter.id for letter in world.log.letters if order.admits(letter)}
    assert admitted == {"read", "with its org"}
    [record] = await world.log.controls.audit(last=1)
    assert (record.what, record.detail["letters"]) == ("redrive.ordered", 2)
    assert record.detail["meant"]["channel"] == CHANGES.path


async def test_channel_that_is_not_configured_has_nobody_to_read_its_letters(
    world: World, ask: Asking
) -> None:
    """An order of it would stay open."""
    world.keep(a_dead_letter("other"), channel="/event/Order_Placed__e")
    _, counts = await ask.post(ORDER, channel="/event/Order_Placed__e")

    assert (counts["matching"], counts["deliverable"], counts["redrives"]) == (1, 0, [])


async def test_channel_has_one_open_redrive_at_a_time(world: World, ask: Asking) -> None:
    """Those of subscribers are others; its letters can't be discarded meanwhile."""
    await world.fail(1, key="a")
    world.keep(a_dead_letter("read"))
    first = await ask.post(ORDER, channel=CHANGES.path)
    again, refusal = await ask.post(ORDER, channel=CHANGES.path)
    other, _ = await ask.post(ORDER, subscriber=TARGET)
    kept, _ = await ask.post("/dead-letters/discard", channel=CHANGES.path)

    assert (first[0], again, other, kept) == (202, 409, 202, 409)
    assert f"of {CHANGES.path} is still open" in refusal["error"]


async def test_redrives_of_subscribers_leave_the_letters_of_ingest_alone(world: World, ask: Asking) -> None:
    """They are ordered by their channel."""
    world.keep(a_dead_letter("read"))
    _, counts = await ask.post(ORDER)
    _, named = await ask.post(ORDER, channel=CHANGES.path, subscriber=SubscriberName(TARGET))

    assert (counts["deliverable"], counts["redrives"]) == (0, [])
    assert named["matching"] == 0
