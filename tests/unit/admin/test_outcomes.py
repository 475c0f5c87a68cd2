"""Lists of events say in one word what became of each event at each subscriber."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.admin.events import resource
from streamer.admin.events.accounts import AccountState
from streamer.admin.events.outcomes import OUTCOMES
from streamer.events import Retry, SubscriberName
from tests.contracts.values import a_receipt
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET, route


async def outcomes(ask: Asking, query: str = "") -> dict[str, Any]:
    """Return the outcomes of the listed events by event id."""
    status, found = await ask.get(f"/events?outcomes=true{query}")
    assert status == 200, found
    return {each["id"]: each["outcomes"] for each in found["events"]}


async def test_dead_letter_and_receipt_are_told_from_the_log(world: World, ask: Asking) -> None:
    """Whichever process delivers; a subscriber that does not select the event skips it."""
    await world.fail(1)
    await world.deliver(2)
    world.log.receipts.append(replace(a_receipt("2"), subscriber=TARGET))

    assert await outcomes(ask) == {
        "1": {"target": "dead", "idle": "skipped"},
        "2": {"target": "delivered", "idle": "skipped"},
    }


async def test_later_record_decides(world: World, ask: Asking) -> None:
    """A redriven event can be delivered while its former letter is still listed."""
    await world.fail(1)
    [letter] = world.dispatch.letters
    receipt = replace(a_receipt("1"), subscriber=TARGET)
    for after_s, outcome in ((-1, "dead"), (1, "delivered")):
        world.log.receipts.append(replace(receipt, delivered_at=letter.failed_at + after_s))
        assert (await outcomes(ask))["1"]["target"] == outcome


async def test_event_without_a_record_is_unknown_in_another_process(world: World, ask: Asking) -> None:
    """Only the process that delivers it knows whether it waits."""
    await world.deliver(1)

    assert (await outcomes(ask))["1"]["target"] == "unknown"


async def test_process_that_delivers_knows_more(world: World, ask: Asking) -> None:
    """An event waits, is retried, waits behind one that is retried, or is settled without a receipt."""
    world.dispatch.target.answers["bad"] += [Retry(reason="answered 503")] * 20
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append("good")
        await world.dispatch.append("bad", "behind", key="k")
        await world.dispatch.turn(30)
        world.dispatch.target.hang()
        await world.dispatch.append("open")
        await world.dispatch.quiet()
        found = await outcomes(ask)
        world.dispatch.target.release()

    assert {name: each["target"] for name, each in found.items()} == {
        "good": "settled",
        "bad": "retrying",
        "behind": "retrying",
        "open": "waiting",
    }


async def test_event_that_when_excludes_is_skipped(world: World, ask: Asking) -> None:
    """Once it is settled."""
    world.dispatch.route = world.daemon.plan.routes[TARGET] = route(when="id == 'other'")  # type: ignore[index] # the twin's plan holds a dict
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1)
        await world.dispatch.quiet()

        assert (await outcomes(ask))["1"]["target"] == "skipped"


async def test_later_subscriber_without_a_record_is_left_out(world: World, ask: Asking) -> None:
    """Its copy has a position of its own."""
    idle = world.daemon.plan.settings.subscribers[SubscriberName("idle")]
    changed = {
        TARGET: world.daemon.plan.settings.subscribers[TARGET],
        "idle": idle.model_copy(update={"on": ("*",), "after": (TARGET,)}),
    }
    world.daemon.plan.settings = world.daemon.plan.settings.model_copy(update={"subscribers": changed})
    await world.fail(1)

    assert (await outcomes(ask))["1"] == {"target": "dead"}


async def test_events_of_one_outcome_are_searched_for(world: World, ask: Asking) -> None:
    """Page after page, as far as the limit of the search."""
    await world.deliver(*range(30))
    await world.fail("old")
    await world.deliver(*range(30, 60))
    status, found = await ask.get("/events?outcome=dead&limit=5")

    assert status == 200
    assert [each["id"] for each in found["events"]] == ["old"]
    assert (found["examined"], found["is_whole"]) == (61, True)
    _, none = await ask.get("/events?outcome=skipped")
    assert none["events"] == []


async def test_search_for_an_outcome_is_bounded_and_goes_on(
    world: World, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its cursor."""
    monkeypatch.setattr(resource, "_EXAMINED", 10)
    await world.fail("old")
    await world.deliver(*range(10))
    _, first = await ask.get("/events?outcome=dead&limit=5")
    _, then = await ask.get(f"/events?outcome=dead&limit=5&cursor={first['cursor']}")

    assert (first["events"], first["examined"]) == ([], 10)
    assert [each["id"] for each in then["events"]] == ["old"]


async def test_list_without_the_wish_has_no_outcomes(world: World, ask: Asking) -> None:
    """It costs a search of the dead letters and the receipts."""
    await world.deliver(1)
    _, found = await ask.get("/events")

    assert "outcomes" not in found["events"][0]
    assert (await ask.get("/events?outcome=odd"))[0] == 400


def test_every_state_of_an_account_has_a_word() -> None:
    """A list and a story say the same of one event."""
    assert OUTCOMES.keys() == set(AccountState)
