"""Orders of positions find their channels, and are removed once they are carried out."""

import asyncio
from dataclasses import dataclass, field, replace

from streamer.app.ingest.orders import PositionOrders
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord, ChannelPosition, PositionOrder
from streamer.events import Channel, ContinuityRecord, HoleCause, Repair
from streamer.log.memory import MemoryLog
from tests.messages import CHANGES, ORDERS

ORDER = PositionOrder(id="position:1", channel=CHANGES.path, place=ChannelPosition.LATEST, by="ada", at=1.0)
AUDIT = AuditRecord(at=1.0, what="position.ordered", by="ada")
RECORD = ContinuityRecord(
    id=ORDER.id,
    channel=CHANGES,
    cause=HoleCause.POSITION_SET,
    detail="ada has set the position",
    recorded_at=2.0,
    state=Repair.NONE,
)


@dataclass
class World:
    """A log in memory, and the orders that a process follows."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    retried: list[Channel] = field(default_factory=list)

    def orders(self) -> PositionOrders:
        """Return the orders."""
        return PositionOrders(controls=self.log.controls, log=self.log, clock=self.clock)

    async def open_orders(self) -> list[str]:
        """Return the ids of the orders in the log."""
        async for board in self.log.controls.switched():
            return list(board.positions)
        return []


async def test_order_reaches_its_channel_and_is_removed_after_it() -> None:
    """Although the log is away for a while."""
    world = World()
    orders = world.orders()
    running = asyncio.create_task(orders.run(world.retried.append))
    changes, other = orders.of(CHANGES), orders.of(ORDERS)
    await world.log.controls.order_position(ORDER, AUDIT)
    await world.clock.turn(0)
    assert (changes.has_order, other.has_order, world.retried) == (True, False, [CHANGES])
    assert await changes.begin() == ORDER

    world.log.faults.down = True
    changes.recorded({ORDER.id: RECORD})
    await world.clock.turn(5)
    world.log.faults.down = False
    assert await world.open_orders() == [ORDER.id]
    await world.clock.turn(60)

    assert await world.open_orders() == []
    assert [each.what for each in await world.log.controls.audit(last=1)] == ["position.ended"]
    running.cancel()
    await asyncio.wait([running])


async def test_refusal_is_told_by_the_audit() -> None:
    """Also by a process that finds the record in the log: the one that wrote it was killed."""
    world = World()
    refusal = replace(RECORD, cause=HoleCause.POSITION_REFUSED, detail="Salesforce refused it")
    world.log.continuity.append(refusal)
    await world.log.controls.order_position(ORDER, AUDIT)
    orders = world.orders()
    running = asyncio.create_task(orders.run(world.retried.append))
    await world.clock.turn(0)
    assert await orders.of(CHANGES).begin() is None
    await world.clock.turn(1)
    [told] = await world.log.controls.audit(last=1)

    assert (told.what, told.detail["reason"]) == ("position.refused", "Salesforce refused it")
    running.cancel()
    await asyncio.wait([running])


async def test_channel_that_comes_later_finds_its_orders() -> None:
    """A takeover, or a run that begins again."""
    world = World()
    orders = world.orders()
    await world.log.controls.order_position(ORDER, AUDIT)
    await world.log.controls.order_position(replace(ORDER, id="position:2", channel="/data/X"), AUDIT)
    running = asyncio.create_task(orders.run(world.retried.append))
    await world.clock.turn(0)

    assert await orders.of(CHANGES).begin() == ORDER
    assert not orders.of(ORDERS).has_order
    running.cancel()
    await asyncio.wait([running])


async def test_channel_that_has_left_is_called_no_more() -> None:
    """Another process carries out its orders, and this one keeps nothing of its former reading."""
    world = World()
    orders = world.orders()
    running = asyncio.create_task(orders.run(world.retried.append))
    former = orders.of(CHANGES)
    await world.clock.turn(0)

    orders.unsubscribe(CHANGES)
    await world.log.controls.order_position(ORDER, AUDIT)
    await world.clock.turn(0)
    assert (former.has_order, world.retried) == (False, [])

    assert orders.of(CHANGES).has_order
    running.cancel()
    await asyncio.wait([running])
