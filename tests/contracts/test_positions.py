"""Contract of `RecordedPositions`: any process sees how far each channel is, and who reads it."""

from contextlib import aclosing

from streamer.clock import SystemClock
from streamer.events import Channel, OrgId
from streamer.ports import StoredCheckpoint
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.contracts.worlds import Log, World
from tests.waiting import until

OTHER = Channel(org=OrgId("00DXX0000000001EAA"), path="/event/Order__e")


async def stored(log: Log) -> dict[Channel, StoredCheckpoint]:
    """Return the checkpoints by channel."""
    return {each.checkpoint.channel: each for each in await log.stored_checkpoints()}


async def test_last_checkpoint_of_each_channel_is_shown(world: World) -> None:
    """With its time, where the log knows it, and its owner."""
    began = SystemClock().now()
    async with world.open() as log, aclosing(log.owned([CHANGES, OTHER])) as owned:
        await anext(owned)
        await append_to(log, an_append(an_event("001A"), at=1))
        await append_to(log, an_append(an_event("001B"), at=2))
        await append_to(log, an_append(at=7, channel=OTHER))

        async def owned_ones() -> dict[Channel, StoredCheckpoint] | None:
            found = await stored(log)
            return found if all(each.owner for each in found.values()) else None

        found = await until(owned_ones, every_s=0.1)

        assert found[CHANGES].checkpoint == a_checkpoint(2)
        assert found[OTHER].checkpoint == a_checkpoint(7, channel=OTHER)
        times = [each.stored_at for each in found.values() if each.stored_at is not None]
        assert all(began - 1 <= each <= SystemClock().now() + 1 for each in times)


async def test_new_log_has_no_positions(world: World) -> None:
    """Nothing was read yet."""
    async with world.open() as log:
        assert await stored(log) == {}
        assert await log.appended_since(["salesforce.*"], 0.0) == 0


async def test_events_since_a_time_are_counted(world: World) -> None:
    """At least those that there are, and none of a time to come."""
    async with world.open() as log:
        await append_to(log, an_append(an_event("001A"), an_event("001B"), at=1))
        await append_to(log, an_append(an_event("001C"), at=2))

        counted = await log.appended_since(["salesforce.cdc.*"], 0.0)
        assert 3 <= counted <= 3 + 4  # a transaction leaves a marker in each of its partitions
        assert await log.appended_since(["salesforce.event.*"], 0.0) == 0
