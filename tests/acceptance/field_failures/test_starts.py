"""A new channel begins where its configuration says, through the daemon's own parts and a log in a file."""

from datetime import UTC, datetime
from typing import Any

from streamer.events import HoleCause, Repair
from tests.acceptance.field_failures.world import HOUR_S, World
from tests.configuration import CHANGES, ORDERS


def at(world: World) -> str:
    """Return the time as a configuration has it."""
    return datetime.fromtimestamp(world.clock.now(), UTC).isoformat(timespec="milliseconds")


def starting(start: Any, path: str = CHANGES, **rules: str) -> dict[str, Any]:
    """Return the section of one channel."""
    return {"channels": [{"path": path, "start": start, **rules}]}


def told(world: World) -> set[tuple[str, str]]:
    """Return the types of what the consumer has read, and the records."""
    return {(event.type, event.key) for event in world.events}


async def test_start_at_a_time_of_platform_events_that_are_not_retained(world: World) -> None:
    """Those that are come in, and the hole is told, for nothing stands behind the others."""
    world.more = starting({"since": at(world)}, ORDERS)
    world.order(1)
    await world.clock.turn(80 * HOUR_S)
    world.order(2)
    async with world.running():
        await world.read(1)
        await world.settled()
        [hole] = await world.records()
    async with world.running():
        await world.settled()

        assert await world.records() == [hole]
        assert (hole.cause, hole.state) == (HoleCause.BEFORE_RETENTION, Repair.NONE)
        assert [event.data["fields"]["Order_No__c"] for event in world.events] == ["A-2"]


async def test_start_at_a_time_that_is_not_retained_reads_no_records_where_nothing_is_repaired(
    world: World,
) -> None:
    """The policy about what Salesforce no longer retains decides here too."""
    since = {"since": at(world)}
    world.more = starting(since, "/data/AccountChangeEvent", on_refused_replay_id="earliest")
    world.save(Name="not retained")
    await world.clock.turn(80 * HOUR_S)
    retained = world.save(Name="retained")
    async with world.running():
        await world.read(1)
        await world.settled()

        assert [each.state for each in await world.records()] == [Repair.NONE]
        assert told(world) == {("salesforce.cdc.Account.created", retained)}


async def test_start_at_a_time_within_the_retention(world: World) -> None:
    """Events committed before that time are left out."""
    world.save(Name="before")
    await world.clock.turn(HOUR_S)
    world.more = starting({"since": at(world)})
    later = world.save(Name="at the time")
    await world.clock.turn(HOUR_S)
    async with world.running():
        await world.read(1)
        await world.settled()

        assert told(world) == {("salesforce.cdc.Account.created", later)}
        assert await world.records() == []


async def test_start_with_the_records_that_there_are(world: World) -> None:
    """Later changes come too, once; another start reads no records."""
    world.more = starting("snapshot", "/data/AccountChangeEvent")
    first, second = world.save(Name="Acme"), world.save(Name="Berg")
    await world.clock.turn(HOUR_S)
    for _ in range(2):
        async with world.running():
            await world.until(lambda: len(world.events) >= 2, turning=1.0)
            await world.settled()
            [snapshot] = await world.repaired()
    async with world.running():
        world.change(first, Name="Acme AS")
        await world.until(lambda: len(world.events) >= 3, turning=1.0)

        assert (snapshot.cause, snapshot.state, snapshot.published) == (HoleCause.SNAPSHOT, Repair.FULL, 2)
        assert len(world.events) == 3
        assert told(world) == {
            ("salesforce.cdc.Account.snapshot", first),
            ("salesforce.cdc.Account.snapshot", second),
            ("salesforce.cdc.Account.updated", first),
        }
