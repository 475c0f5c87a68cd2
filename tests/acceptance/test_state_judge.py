"""The judge of states sees what a broken keeper does."""

import pytest

from tests.acceptance.state import broken
from tests.acceptance.state.faults import KeeperLog
from tests.acceptance.state.small import (
    created,
    delete,
    found_in,
    kept_org,
    repeat_all,
    text,
    undelete,
    update,
)
from tests.acceptance.state.state_world import StateWorld

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]


async def _history(states: StateWorld) -> None:
    """Let records change in many ways."""
    account, other = created(states, Description=text()), created(states)
    await states.settle()
    update(states, account, Description=text(1), Phone="1")
    await states.world.turn(2)
    update(states, account, Phone=None, BillingCity="Oslo")
    delete(states, other)
    await states.world.turn(2)
    undelete(states, other)
    await states.world.turn(2)
    await states.world.order("Account")
    await repeat_all(states)


async def _needing_orders(states: StateWorld) -> None:
    """Let the first event of a record be a diff of a text that the keeper does not know."""
    account = created(states, Description=text())
    await states.settle()
    await states.keepers.kill_all()
    states.keepers.renew_store()
    await states.world.kill()
    states.keepers.start()
    update(states, account, Description=text(1))
    await states.world.turn(1)
    states.world.start()
    update(states, account, Description=text(1, 2))
    await states.world.turn(1.1)
    update(states, account, Description=text(1, 2, 3))
    await states.world.turn(5)


async def test_judge_has_no_complaint_about_a_keeper() -> None:
    """The histories of this file are right when nothing is broken."""
    for history in (_history, _needing_orders):
        async with kept_org() as states:
            await history(states)
            assert await found_in(states) == {}


@pytest.mark.parametrize(
    ("log_type", "name"),
    [
        (broken.WritesTwice, "twice"),
        (broken.LosesStates, "unequal"),
        (broken.GoesBack, "back"),
        (broken.LooksNew, "back"),
        (broken.ChangesFields, "unequal"),
        (broken.OrdersEndlessly, "orders"),
    ],
)
async def test_judge_sees_a_broken_keeper(log_type: type[KeeperLog], name: str) -> None:
    """Each rule fails for a keeper that breaks it."""
    async with kept_org(log_type) as states:
        try:
            await _history(states)
        finally:
            found = await found_in(states)
    assert name in found


async def test_judge_sees_a_lost_order() -> None:
    """An order that is lost leaves a record behind."""
    async with kept_org(broken.DropsOrders) as states:
        await _needing_orders(states)
        found = await found_in(states)
    assert found
