"""Dead letters are ordered to be delivered again over the API."""

from typing import Any

import pytest

from streamer.admin import redrives
from streamer.controls import AuditRecord, LetterFilter, Redrive
from streamer.dispatch.redrive import pages
from streamer.events import Stage, SubscriberName
from tests.contracts.values import a_dead_letter
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import ACCOUNTS, TARGET


@pytest.fixture
async def failed(world: World) -> None:
    """Four events failed; of the key of two of them a later one was delivered since."""
    await world.fail(1, 2, key="old")
    await world.deliver(3, key="old")
    await world.fail(4, key="a")
    await world.fail(5, key="b")
    await world.clock.turn(1)
    world.dispatch.target.delivered.clear()


@pytest.mark.usefixtures("failed")
async def test_dry_run_counts_and_orders_nothing(world: World, ask: Asking) -> None:
    """For each subscriber, and in all."""
    world.keep(a_dead_letter("unread"))
    world.keep(a_dead_letter("gone"), subscriber=SubscriberName("gone"))
    status, body = await ask.post("/dead-letters/redrive", dry_run=True)

    assert (status, body["redrives"]) == (200, [])
    assert body["subscribers"][TARGET] == {
        "matching": 4, "deliverable": 4, "superseded": 2, "by_reason": {"rejected": 4}
    }  # fmt: skip
    for nobody in ("", "gone"):
        assert body["subscribers"][nobody]["deliverable"] == 0
    assert (body["matching"], body["deliverable"], body["superseded"]) == (6, 4, 2)
    assert (await world.context.control_state()).redrives == {}


@pytest.mark.usefixtures("failed")
async def test_order_delivers_all_but_what_is_superseded(world: World, ask: Asking) -> None:
    """A stale event must not overwrite what a later one has brought."""
    status, body = await ask.post("/dead-letters/redrive", by="anna", per_second=50)
    [order] = (await world.context.control_state()).redrives.values()
    await world.carry_out()

    assert (status, body["redrives"]) == (202, [order.id])
    assert (order.by, order.per_second, order.letters.subscriber) == ("anna", 50, TARGET)
    # A letter that fails again is not redriven for ever.
    assert order.letters.failed_before == order.at
    assert sorted(world.dispatch.target.delivered) == ["4", "5"]
    assert {letter.id for letter in world.log.letters} == {"1:target", "2:target"}


@pytest.mark.usefixtures("failed")
async def test_superseded_letters_are_delivered_where_that_is_wanted(world: World, ask: Asking) -> None:
    """Such as where every event counts, not only the last."""
    await ask.post("/dead-letters/redrive", include_superseded=True, key="old")
    await world.carry_out()

    assert world.dispatch.target.delivered == ["1", "2"]


async def test_dead_letter_supersedes_nothing(world: World, ask: Asking) -> None:
    """The second failure of a key never reached the target, whichever of both is meant."""
    await world.fail(1, key="k", reason="first")
    await world.clock.turn(10)
    await world.fail(2, key="k", reason="second")
    _, body = await ask.post("/dead-letters/redrive", error="first", dry_run=True)

    assert (body["matching"], body["superseded"]) == (1, 0)


async def test_event_that_was_lost_supersedes_nothing(world: World, ask: Asking) -> None:
    """Of its letter only the place is left."""
    await world.fail(1, key="k")
    await world.clock.turn(1)
    await world.deliver(2, key="k")
    assert (await ask.post("/dead-letters/redrive", dry_run=True))[1]["superseded"] == 1
    lost = a_dead_letter("lost", stage=Stage.DISPATCH)
    world.keep(lost, subscriber=TARGET, event=None, partition=ACCOUNTS, offset=1, reason="parked_lost")
    _, body = await ask.post("/dead-letters/redrive", dry_run=True)

    assert (body["matching"], body["deliverable"], body["superseded"]) == (2, 1, 0)


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("asked", [{"key": "a"}, {"ids": ["4:target", "none"]}])
async def test_only_what_matches_is_redriven(world: World, ask: Asking, asked: dict[str, Any]) -> None:
    """The others stay dead letters."""
    await ask.post("/dead-letters/redrive", **asked)
    await world.carry_out()

    assert world.dispatch.target.delivered == ["4"]


@pytest.mark.usefixtures("failed")
async def test_progress_and_end_are_told(world: World, ask: Asking) -> None:
    """How many are left of how many, and then that it is over."""
    [order] = (await ask.post("/dead-letters/redrive"))[1]["redrives"]
    _, in_flight = await ask.get("/redrives")
    await world.carry_out()
    _, over = await ask.get("/redrives")

    [shown] = in_flight["redrives"]
    assert (shown["id"], shown["left"], shown["from"], shown["subscriber"]) == (order, 2, 2, TARGET)
    assert (over["redrives"], [each["id"] for each in over["ended"]]) == ([], [order])
    [ended] = over["ended"]
    assert (ended["cancelled_by"], ended["subscriber"], ended["by"], ended["from"]) == (
        None, TARGET, "operator", 2
    )  # fmt: skip


@pytest.mark.usefixtures("failed")
async def test_second_order_for_a_subscriber_waits_for_the_first(world: World, ask: Asking) -> None:
    """Two of them could not tell which letters are whose."""
    [first] = (await ask.post("/dead-letters/redrive", key="a"))[1]["redrives"]
    status, body = await ask.post("/dead-letters/redrive")

    assert (status, f"Redrive {first} of target is still open" in body["error"]) == (409, True)
    assert f"`streamer deadletters cancel {first}`" in body["error"]
    assert len((await world.context.control_state()).redrives) == 1


@pytest.mark.usefixtures("failed")
async def test_cancelled_order_is_over_and_stands_in_nobodys_way(world: World, ask: Asking) -> None:
    """Who ended it is kept, with how many letters were left; they can be ordered again."""
    [first] = (await ask.post("/dead-letters/redrive", by="anna"))[1]["redrives"]
    status, body = await ask.post(f"/redrives/{first}/cancel", by="bert")
    _, over = await ask.get("/redrives")
    [*_, record] = (await ask.get("/audit"))[1]["records"]

    assert (status, body["id"], body["subscriber"], body["left"]) == (200, first, TARGET, 2)
    assert (record["what"], record["by"], record["subscriber"]) == ("redrive.cancelled", "bert", TARGET)
    assert record["detail"] == {"id": first, "left": 2}
    assert over["redrives"] == []
    assert over["ended"] == [
        {
            "id": first,
            "subscriber": TARGET,
            "channel": None,
            "by": "anna",
            "ordered_at": record["at"],
            "from": 2,
            "at": record["at"],
            "cancelled_by": "bert",
            "left": 2,
            "superseded": 0,
        }
    ]
    assert len(world.log.letters) == 4
    assert (await ask.post("/dead-letters/redrive"))[0] == 202


@pytest.mark.usefixtures("failed")
async def test_only_an_open_order_can_be_cancelled(world: World, ask: Asking) -> None:
    """The refusal names those that are."""
    [first] = (await ask.post("/dead-letters/redrive", key="a"))[1]["redrives"]
    await world.carry_out()
    [second] = (await ask.post("/dead-letters/redrive", key="b"))[1]["redrives"]
    status, body = await ask.post(f"/redrives/{first}/cancel")

    assert (status, "`streamer audit`" in body["error"], second in body["error"]) == (404, True, True)
    assert [each.what for each in await world.log.controls.audit(last=9)].count("redrive.cancelled") == 0


async def test_nothing_is_ordered_where_nothing_matches(world: World, ask: Asking) -> None:
    """An order without letters would announce work that does not exist."""
    status, body = await ask.post("/dead-letters/redrive", subscriber=TARGET)

    assert (status, body["redrives"], body["matching"]) == (200, [], 0)
    assert await world.log.controls.audit(last=9) == []


async def test_redrive_of_an_unknown_subscriber_is_refused(ask: Asking) -> None:
    """Nobody would carry it out."""
    assert (await ask.post("/dead-letters/redrive", subscriber="sales"))[0] == 404


@pytest.mark.usefixtures("failed")
async def test_more_than_an_order_can_leave_out_is_refused(
    world: World, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do; without weighing there is no limit."""
    monkeypatch.setattr(redrives, "MAX_SKIPPED_CHARACTERS", 1)
    status, body = await ask.post("/dead-letters/redrive")

    assert (status, "include superseded dead letters" in body["error"]) == (409, True)
    assert (await ask.post("/dead-letters/redrive", include_superseded=True))[0] == 202
    assert len((await world.context.control_state()).redrives) == 1


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("most", [1, 2, 50_000])
async def test_any_number_of_letters_is_compared(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Where they do not fit into memory, some at a time."""
    monkeypatch.setattr(pages, "__defaults__", (most,))
    status, body = await ask.post("/dead-letters/redrive", dry_run=True)

    assert (status, body["superseded"]) == (200, 2)


async def test_order_of_an_older_version_has_no_beginning(world: World, ask: Asking) -> None:
    """The number of letters left is known all the same."""
    order = Redrive(id="r", letters=LetterFilter(), per_second=1, by="x", at=0.0)
    await world.log.controls.order(order, AuditRecord(at=0.0, what="redrive.ordered", by="x"))
    _, body = await ask.get("/redrives")

    assert (body["redrives"][0]["left"], body["redrives"][0]["from"]) == (0, None)
