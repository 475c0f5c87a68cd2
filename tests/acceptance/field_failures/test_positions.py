"""Positions: those that expire, that are lost, and that are saved too early."""

from streamer.events import HoleCause, Repair
from tests.acceptance.field_failures.world import HOUR_S, World
from tests.configuration import CHANGES, ORDERS


async def test_expired_replay_id_wedges_the_stream(world: World) -> None:
    """Channels are quiet for 80 hours, and the daemon starts again: it goes on as if nothing had been.

    Their events are older than the retention of 72 hours then. The positions
    are not, or time tells that nothing is missing.
    """
    async with world.running():
        account = world.save(Name="Before")
        world.order(1)
        await world.read(2)
        await world.pass_quietly(80 * HOUR_S)
    world.change(account, Name="While it is away")
    world.order(2)
    await world.clock.turn(600)
    async with world.running():
        await world.read(4)
        world.change(account, Name="After")
        world.order(3)
        await world.read(6)
        await world.settled()
        records, letters = await world.records(), await world.letters()

    names = [event.data["fields"]["Name"] for event in world.events if event.channel == CHANGES]
    orders = [event.data["fields"]["Order_No__c"] for event in world.events if event.channel == ORDERS]
    assert names == ["Before", "While it is away", "After"]
    assert orders == ["A-1", "A-2", "A-3"]
    assert {record.state for record in records} <= {Repair.FULL}
    assert letters == []
