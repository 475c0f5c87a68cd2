"""Contract of `Feed` about forwarded events: each reaches the right subscriber once, in order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamer.errors import Fenced
from streamer.events import Event, Forwarded, SubscriberName
from tests.contracts.follower import Follower, coming_after, coming_from_invoice, following, forwarding
from tests.contracts.parking import KEY, lane_of, park
from tests.contracts.values import CHANGES, a_receipt, an_append, an_event, append_to
from tests.contracts.worlds import Log, World

RECEIPTS = {"invoice": {"outcome": "delivered", "answer": {"number": "Ü-1"}, "attempts": 2}}


def forwarded(events: Sequence[Event], *, to: str = "shipment") -> list[Forwarded]:
    """Return `events` on their way to a subscriber."""
    return [
        Forwarded(to=SubscriberName(to), event=replace(event, receipts=RECEIPTS), at=1735689600.5)
        for event in events
    ]


async def append(log: Log, *events: Event) -> None:
    """Append `events` as any process does: another one may have written before."""
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(*events))


async def settle_and_forward(log: Log, *names: str, what: str = "salesforce.cdc.Account.updated") -> None:
    """Append events of one key, and let subscriber `invoice` settle and forward them."""
    events = [an_event(name, key=KEY, what=what) for name in names]
    async with forwarding(log, "shipment") as invoice:
        await append(log, *events)
        await invoice.read_until(*names)
        await invoice.settle(receipts=[a_receipt(name) for name in names], forwarded=forwarded(events))


async def test_forwarded_events_come_with_their_receipts_in_order(world: World) -> None:
    """As upstream got them, and with what became of them there."""
    async with world.open() as log:
        await settle_and_forward(log, "1", "2", "3")
        async with coming_after(log) as shipment:
            await shipment.read_until("3")

    expected = [an_event(name, key=KEY) for name in "123"]
    assert shipment.events == [replace(event, receipts=RECEIPTS) for event in expected]


async def test_waiting_reader_is_woken_by_what_is_forwarded(world: World) -> None:
    """It needs no event from Salesforce to go on."""
    async with world.open() as log, coming_after(log) as shipment:
        await settle_and_forward(log, "1")

        assert await shipment.read_until("1") == ["1"]


async def test_nobody_else_gets_a_forwarded_event(world: World) -> None:
    """Neither a subscriber of events, nor one after another subscriber."""
    async with world.open() as log:
        await settle_and_forward(log, "1")
        async with following(log, "*", name="all") as everything, coming_after(log, name="bill") as bill:
            await append(log, an_event("2", key=KEY))
            assert await everything.read_until("2") == ["1", "2"]
            assert everything.events[0].receipts is None
            await settle_for(log, bill, "2")
            assert bill.ids == ["2"]


async def settle_for(log: Log, downstream: Follower, name: str) -> None:
    """Forward one event to `bill`, which reads it."""
    async with forwarding(log, "bill") as invoice:
        await invoice.read_until(name)
        event = an_event(name, key=KEY)
        await invoice.settle(receipts=[a_receipt(name)], forwarded=forwarded([event], to="bill"))
    await downstream.read_until(name)


async def test_what_was_forwarded_before_a_subscriber_begins_is_its_own(world: World) -> None:
    """Whichever of the two is opened first, and however many restarts lie between them."""
    async with world.open() as log:
        await settle_and_forward(log, "1", "2")
    async with world.open() as log, coming_after(log) as shipment:
        assert await shipment.read_until("2") == ["1", "2"]


async def test_restart_repeats_only_what_was_not_settled_downstream(world: World) -> None:
    """Progress among forwarded events is kept as any other."""
    async with world.open() as log:
        await settle_and_forward(log, "1", "2", "3")
        async with coming_after(log) as shipment:
            await shipment.read_until("3")
            await shipment.settle(but=["2"])
    async with world.open() as log, coming_after(log) as shipment:
        await settle_and_forward(log, "4")

        assert await shipment.read_until("2", "4") == ["2", "4"]


async def test_types_that_are_not_wanted_are_passed(world: World) -> None:
    """A subscriber can select among what comes from upstream."""
    async with world.open() as log:
        await settle_and_forward(log, "1")
        await settle_and_forward(log, "2", what="salesforce.cdc.Account.created")
        async with coming_after(log, "*.created") as shipment:
            assert await shipment.read_until("2") == ["2"]


async def test_forwarded_event_can_be_parked_and_recalled(world: World) -> None:
    """With its receipts, across a restart."""
    async with world.open() as log:
        await settle_and_forward(log, "1")
        async with coming_after(log) as shipment:
            await shipment.read_until("1")
            [entry] = shipment.entries
            await park(shipment, entry)
    async with world.open() as log, coming_after(log) as shipment:
        await settle_and_forward(log, "2")
        await shipment.read_until("2")

        assert shipment.lanes == lane_of(entry)
        assert await shipment.recall(entry) == [entry]


async def test_settled_ones_can_be_read_beside_the_subscriber(world: World) -> None:
    """A redrive asks for them, to find out what was superseded."""
    async with world.open() as log:
        await settle_and_forward(log, "1", "2")
        async with coming_after(log) as shipment:
            await shipment.read_until("2")
            await shipment.settle(but=["2"])
            begin = {shipment.entries[0].partition: shipment.entries[0].offset}
            settled = [entry async for entry in log.settled_events(coming_from_invoice(), begin)]

    assert settled == shipment.entries[:1]


async def test_nothing_is_forwarded_under_a_former_assignment(world: World) -> None:
    """The next owner delivers the event, and forwards it then."""
    async with world.open() as log:
        async with forwarding(log, "shipment") as invoice:
            await append(log, an_event("1", key=KEY))
            await invoice.read_until("1")
            stale = replace(invoice.stale(), forwarded=forwarded([an_event("1", key=KEY)]))
            with pytest.raises(Fenced):
                await invoice.feed.settle(stale)
        await settle_and_forward(log, "2")
        async with coming_after(log) as shipment:
            assert await shipment.read_until("2") == ["2"]
