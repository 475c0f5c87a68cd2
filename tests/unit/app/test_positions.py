"""Orders of positions find their channels, and are removed once they are carried out."""

import asyncio
from dataclasses import dataclass, field, replace

from streamer.app.ingest.positions import PositionOrders
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord, Place, PositionOrder
from streamer.events import Channel
from streamer.log.memory import MemoryLog
from tests.messages import CHANGES, ORDERS

ORDER = PositionOrder(id="position:1", channel=CHANGES.path, place=Place.LATEST, by="ada", at=1.0)
AUDIT = AuditRecord(at=1.0, what="position.ordered", by="ada")


@dataclass
class World:
    """A log in memory, and the orders that a process follows."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    hurried: list[Channel] = field(default_factory=list)

    def orders(self) -> PositionOrders:
        """Return the orders."""
        controls = self.log.controls
        return PositionOrders(controls=controls, log=self.log, clock=self.clock, hurry=self.hurried.append)

    async def open_orders(self) -> list[str]:
        """Return the ids of the orders in the log."""
        async for board in self.log.controls.switched():
            return list(board.positions)
        return []


async def test_order_reaches_its_channel_and_is_removed_after_it() -> None:
    """Although the log is away for a while."""
    world = World()
    orders = world.orders()
    running = asyncio.create_task(orders.run())
    changes, other = orders.of(CHANGES), orders.of(ORDERS)
    await world.log.controls.order_position(ORDER, AUDIT)
    await world.clock.turn(0)
    assert (changes.has_order, other.has_order, world.hurried) == (True, False, [CHANGES])
    assert await changes.begin() == ORDER

    world.log.down = True
    changes.recorded()
    await world.clock.turn(5)
    world.log.down = False
    assert await world.open_orders() == [ORDER.id]
    await world.clock.turn(60)

    assert await world.open_orders() == []
    assert [each.what for each in await world.log.controls.audit(last=1)] == ["position.ended"]
    running.cancel()
    await asyncio.wait([running])


async def test_channel_that_comes_later_finds_its_orders() -> None:
    """A takeover, or a run that begins again."""
    world = World()
    orders = world.orders()
    await world.log.controls.order_position(ORDER, AUDIT)
    await world.log.controls.order_position(replace(ORDER, id="position:2", channel="/data/X"), AUDIT)
    running = asyncio.create_task(orders.run())
    await world.clock.turn(0)

    assert await orders.of(CHANGES).begin() == ORDER
    assert not orders.of(ORDERS).has_order
    running.cancel()
    await asyncio.wait([running])
