"""The page of the problems names what needs a person, with the action that ends it."""

import re
from dataclasses import replace

import pytest

from streamer.admin.problems.groups import ProblemKind
from streamer.console.pages.problems import actions_of
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.events import Channel, Repair, Stage
from tests.contracts.values import ORG, a_dead_letter, a_hole
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

ORDERS = Channel(org=ORG, path="/event/Order__e")
ANY = {
    "subscriber": TARGET, "channel": "/data/ChangeEvents", "entity": "Account", "reason": "rejected",
    "error_filter": "=no such field", "can_be_repeated": True,
}  # fmt: skip


async def test_page_without_problems_is_calm(browser: Browser) -> None:
    """One sentence, and no list."""
    text = (await browser.get("/problems")).text

    assert "Nothing needs a person." in text
    assert "<article" not in text


async def test_dead_letters_lead_to_the_redrive_of_exactly_these(world: World, browser: Browser) -> None:
    """The preview counts as many as the group."""
    await world.api.fail(1, 2, reason="422: no such field")
    await world.api.fail(3, reason="422: no such field in 7")
    text = (await browser.get("/problems")).text
    links = re.findall(r'href="/console(/dead-letters/redrive[^"]+)"', text)
    previews = [(await browser.get(each.replace("&amp;", "&"))).text for each in links]

    assert "2 problems need a person." in text
    assert "2 dead letters" in text
    found = [re.search(r"Matching dead letters</dt><dd>(\d)", each) for each in previews]
    assert sorted(each[1] for each in found if each) == ["1", "2"]


async def test_paused_subscriber_is_resumed_from_the_page(browser: Browser) -> None:
    """By one button, and then it is no longer listed."""
    csrf = await browser.signed_in()
    await browser.post(f"/subscribers/{TARGET}/pause", {"csrf": csrf, "reason": "upgrade"})
    text = (await browser.get("/problems")).text
    [form] = re.findall(r'action="/console(/subscribers/[^"]+)"', text)
    answer = await browser.post(form, {"csrf": csrf})

    assert "upgrade" in text
    assert (answer.status, form) == (303, f"/subscribers/{TARGET}/resume")
    assert "Nothing needs a person." in (await browser.get("/problems")).text


async def test_hole_is_acknowledged_from_the_page(world: World, browser: Browser) -> None:
    """The problem leads to the hole, whose row has the button, and then the reason."""
    hole = replace(
        a_hole("1"), state=Repair.NONE, recorded_at=world.api.clock.now(), channel=ORDERS, updated_at=None
    )
    world.api.log.continuity.append(hole)
    csrf = await browser.signed_in()
    [link] = re.findall(r'href="/console(/continuity[?][^"]+)"', (await browser.get("/problems")).text)
    [form] = re.findall(r'action="/console(/continuity/[^"]+)"', (await browser.get(link)).text)
    answer = await browser.post(form, {"csrf": csrf, "id": hole.id, "reason": "told <them>"})
    page = (await browser.get(link)).text

    assert (answer.status, form) == (303, "/continuity/acknowledge")
    assert "Nothing needs a person." in (await browser.get("/problems")).text
    assert ("Acknowledged by Anna" in page, "told &lt;them&gt;" in page, form in page) == (True, True, False)


async def test_visitor_without_a_name_sees_the_problem_and_no_button(browser: Browser) -> None:
    """The audit needs a name for each change."""
    csrf = await browser.signed_in()
    await browser.post(f"/subscribers/{TARGET}/pause", {"csrf": csrf, "reason": "upgrade"})
    await browser.post("/sign-out", {"csrf": csrf})
    page = (await browser.get("/problems")).text.partition("<main")[2]

    assert "upgrade" in page
    assert "<button" not in page


async def test_target_that_is_down_is_named_with_its_error(world: World, browser: Browser) -> None:
    """And since when, with a button that tries the target now."""
    dispatch = world.api.dispatch
    dispatch.breaker = BreakerLimits(minimum=3, open_s=600.0, max_open_s=600.0)
    await browser.signed_in()
    async with dispatch.running() as dispatcher:
        world.api.daemon.dispatchers[TARGET] = dispatcher
        dispatch.target.down = True
        await dispatch.append(*range(3))
        await dispatch.quiet()
        text = (await browser.get("/problems")).text

    assert "target down, 3 events wait" in text
    assert f'action="/console/subscribers/{TARGET}/probe"' in text
    assert "Since " in text


async def test_redriven_letters_leave_the_page_at_once(world: World, browser: Browser) -> None:
    """Although the page keeps what it has read from the log for a minute."""
    await world.api.fail(1)
    csrf = await browser.signed_in()
    assert "1 dead letter" in (await browser.get("/problems")).text
    await browser.post("/dead-letters/redrive", {"csrf": csrf})

    assert "Nothing needs a person." in (await browser.get("/problems")).text


async def test_page_of_many_causes_is_bounded(world: World, browser: Browser) -> None:
    """It says how many there are, and names the command that prints all of them."""
    for number in range(80):
        error = f"no field {'x' * (number + 1)} {'in this long sentence ' * 12}"
        world.api.keep(
            a_dead_letter(f"{number}:{TARGET}", stage=Stage.DISPATCH, error=error), subscriber=TARGET
        )
    text = (await browser.get("/problems")).text

    assert "80 problems need a person." in text
    assert "This page shows the first 60; <code>streamer problems</code> prints all of them." in text
    assert text.count("<article") == 60
    assert len(text) < 150_000


@pytest.mark.parametrize("kind", ProblemKind)
def test_every_kind_has_an_action(kind: ProblemKind) -> None:
    """The first is the usual one."""
    first, *_ = actions_of({**ANY, "kind": kind})

    assert first.address.startswith("/console")
    assert first.label


def test_hole_in_changes_leads_to_a_snapshot_of_its_object() -> None:
    """One in platform events leads to the list of holes."""
    changes = actions_of({**ANY, "kind": "hole"})
    events = actions_of({**ANY, "kind": "hole", "channel": "/event/X__e", "entity": None})

    assert changes[0].address == "/console/snapshots?entity=Account&channel=%2Fdata%2FChangeEvents"
    assert [each.address for each in events] == ["/console/continuity?channel=%2Fevent%2FX__e"]


async def test_form_of_a_snapshot_is_filled_from_the_address(browser: Browser) -> None:
    """With the object and the channel of the hole."""
    await browser.signed_in()
    text = (await browser.get("/snapshots?entity=Account&channel=/data/ChangeEvents")).text

    assert 'name="entity" value="Account"' in text
    assert "<option selected>/data/ChangeEvents</option>" in text
