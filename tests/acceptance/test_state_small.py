"""Small histories with record states: a keeper can get each history wrong."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from streamer.controls import AuditRecord
from streamer.settings import LargeText
from tests.acceptance.state.small import (
    CANCELLED,
    created,
    delete,
    found_in,
    gap,
    kept_org,
    open_orders,
    refuse,
    repeat_all,
    restart_daemon,
    slow,
    text,
    undelete,
    update,
)
from tests.acceptance.state.state_world import StateWorld

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]


async def _update_after_gap(states: StateWorld, *, is_killed: bool = False) -> None:
    slow(states)
    account = created(states)
    await states.settle()
    gap(states)
    update(states, account, Phone="1")
    await states.world.turn(0.5)
    if is_killed:
        await states.keepers.kill_all()
        states.keepers.start()
        await states.world.turn(0.5)
    update(states, account, Fax="2")
    await states.world.turn(5)


async def _update_after_gap_and_kill(states: StateWorld) -> None:
    await _update_after_gap(states, is_killed=True)


async def _update_after_overflow(states: StateWorld) -> None:
    slow(states)
    account = created(states)
    await states.settle()
    with states.world.sandbox.org.transaction() as transaction:
        for _ in range(10):
            transaction.create("Account", {"Name": "B"})
        transaction.update("Account", account, {"Phone": "1"})
    await states.world.turn(0.3)
    update(states, account, Fax="2")
    await states.world.turn(5)


async def _later_text(states: StateWorld) -> None:
    states.world.large_text = LargeText.REREAD
    await restart_daemon(states)
    account = created(states, Description=text())
    await states.settle()
    await states.world.kill()
    for number in range(3):
        update(states, account, Description=text(*range(number + 1)), Phone=str(number))
        await states.world.turn(1.1)
    states.world.start()


async def _update_after_expiry(states: StateWorld) -> None:
    account = created(states)
    await states.settle()
    await states.keepers.kill_all()
    update(states, account, Phone="1")
    await states.world.turn(5)
    states.keepers.start()
    states.keepers.running[0].faults.expired = 1
    await states.world.turn(0.05)
    update(states, account, Fax="1")
    await states.world.turn(5)


async def _update_after_reset(states: StateWorld) -> None:
    account = created(states)
    await states.settle()
    slow(states)
    await states.world.kill()
    update(states, account, Phone="1")
    states.world.sandbox.faults.reset_stream()
    states.world.start()
    await states.world.turn(3)
    update(states, account, Fax="2")
    await states.world.turn(10)


async def _first_snapshot_refused(states: StateWorld) -> None:
    account, _ = created(states), created(states)
    await states.settle()
    await states.keepers.kill_all()
    states.keepers.renew_store()
    refuse(states)
    states.keepers.start()
    await states.world.wait(600)
    states.world.sandbox.faults.heal()
    update(states, account, Phone="1")
    await states.world.wait(7200)


async def _first_snapshot_cancelled(states: StateWorld) -> None:
    """An operator's decision holds for the snapshot, but a record that changes is read."""
    account = created(states)
    await states.settle()
    await states.world.kill()
    await states.keepers.kill_all()
    states.keepers.renew_store()
    states.keepers.start()
    await states.world.turn(1)
    for order in open_orders(states):
        audit = AuditRecord(at=order.at, what="snapshot.cancelled", by="history")
        await states.world.log.controls.order_snapshot(replace(order, wanted=CANCELLED), audit)
    states.world.start()
    await states.world.turn(60)
    update(states, account, Phone="1")
    await states.world.wait(600)


async def _gap_is_only_marked(states: StateWorld) -> None:
    states.world.repairs_gaps = False
    await restart_daemon(states)
    account = created(states)
    await states.settle()
    gap(states)
    update(states, account, Phone="1")
    await states.world.wait(600)


async def _redriven_without_repairs(states: StateWorld) -> None:
    states.world.repairs_gaps = False
    await restart_daemon(states)
    account = created(states)
    await states.settle()
    faults = states.world.log.faults
    faults.refuse = lambda event: event.data["fields"].get("Phone") == "1"
    update(states, account, Phone="1")
    await states.world.turn(3)
    faults.refuse = lambda _: False
    await states.redrive()


async def _old_deletion_after_recovered_row(states: StateWorld) -> None:
    account = created(states)
    await states.settle()
    delete(states, account)
    await states.world.turn(2)
    undelete(states, account)
    gap(states)
    update(states, account, Fax="1")
    await states.world.turn(2)
    await repeat_all(states)


async def _old_deletion_after_snapshot(states: StateWorld, between_s: float = 2.0) -> None:
    account = created(states)
    await states.settle()
    delete(states, account)
    await states.world.turn(between_s)
    undelete(states, account)
    await states.settle()
    await states.keepers.kill_all()
    states.keepers.renew_store()
    states.keepers.start()
    await repeat_all(states)


async def _old_deletion_of_the_same_second(states: StateWorld) -> None:
    await _old_deletion_after_snapshot(states, between_s=0.2)


async def _rereads_end(states: StateWorld) -> None:
    account, _ = created(states), created(states)
    await states.settle()
    for _ in range(2):
        await states.world.order("Account")
        for number in range(4):
            await states.world.turn(0.1)
            if number % 2:
                gap(states)
            update(states, account, Phone=str(number))
    await states.world.turn(10)


async def _object_that_returns(states: StateWorld) -> None:
    """An object leaves the configuration, and is added again later."""
    account = created(states)
    await states.settle()
    for objects, fields in ((("Contact",), {"Phone": "1"}), (("Account", "Contact"), {"Fax": "1"})):
        await states.keepers.kill_all()
        states.keepers.objects = objects
        states.keepers.start()
        await states.world.turn(5)
        update(states, account, **fields)
        created(states)
        await states.settle()


async def _changes_of_one_second(states: StateWorld) -> None:
    account, other = created(states), created(states)
    await states.settle()
    for number in range(6):
        await states.world.order("Account")
        update(states, account, Phone=str(number))
        delete(states, other)
        await states.world.turn(0.2)
        undelete(states, other)
        update(states, account, Phone=None)
        await states.world.turn(0.2)


async def _diffs(states: StateWorld) -> None:
    account = created(states, Description=text())
    await states.settle()
    for changed in ((1,), (1, 2), (2,), (7, 8, 9)):
        update(states, account, Description=text(*changed))
        await states.world.turn(1)
    gap(states)
    update(states, account, Description=text(3))
    update(states, account, Description=text(3, 4))


async def _parts_of_compound_fields(states: StateWorld) -> None:
    account = created(states, BillingCity="Oslo", BillingStreet="Way 1")
    await states.settle()
    for fields in ({"BillingCity": None}, {"BillingStreet": None}, {"BillingLatitude": 59.5}):
        update(states, account, **fields)
        await states.world.turn(1)


History = Callable[[StateWorld], Awaitable[None]]
HISTORIES: tuple[History, ...] = (
    _update_after_gap,
    _update_after_gap_and_kill,
    _update_after_overflow,
    _later_text,
    _update_after_expiry,
    _first_snapshot_refused,
    _first_snapshot_cancelled,
    _gap_is_only_marked,
    _redriven_without_repairs,
    _old_deletion_after_recovered_row,
    _old_deletion_after_snapshot,
    _old_deletion_of_the_same_second,
    _rereads_end,
    _object_that_returns,
    _changes_of_one_second,
    _diffs,
    _parts_of_compound_fields,
)


@pytest.mark.parametrize("history", HISTORIES, ids=lambda each: each.__name__.strip("_"))
async def test_states_become_the_org(history: History) -> None:
    """The states lead forward to the org's records, and nothing is ordered without end."""
    async with kept_org() as states:
        await history(states)
        found = await found_in(states)
    assert found == {}


async def test_update_behind_a_hole_waits_for_the_row() -> None:
    """The stream was reset, and an update arrives before the rows of the repair."""
    async with kept_org() as states:
        await _update_after_reset(states)
        found = await found_in(states)
    assert found == {}
