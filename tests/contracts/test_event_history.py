"""Contract of reading one entity's events in a log that another process owns."""

from datetime import UTC, datetime, timedelta

from streamer.clock import SystemClock
from streamer.events import Channel
from streamer.normalise.malformed import as_event_time
from streamer.ports import EventHistory
from tests.contracts.values import CHANGES, ORG, a_checkpoint, an_append, an_event, append_to
from tests.contracts.worlds import Log, World

NOW = SystemClock().now()
OTHER = Channel(org=ORG, path="/data/ContactChangeEvent")
MANY = 1_203


def at(hours: float) -> str:
    """Return a time so long ago as events have it."""
    return as_event_time(datetime.fromtimestamp(NOW, UTC) - timedelta(hours=hours))


async def told(history: EventHistory, entity: str, since: float) -> list[str]:
    """Return the ids of the events of `entity` since a time."""
    start = await history.start(entity, since)
    pages = [page async for page in history.changes(entity, start)]
    assert [page.left for page in pages] == sorted((page.left for page in pages), reverse=True)
    assert not pages or not pages[-1].left
    return sorted(event.id for page in pages for event in page.events)


async def filled(log: Log) -> None:
    """Append events of two entities in two channels."""
    for channel in (CHANGES, OTHER):
        await log.checkpoint(channel)
    await append_to(
        log,
        an_append(
            an_event("1", time=at(0)),
            an_event("2", what="salesforce.cdc.Contact.updated", time=at(0)),
            an_event("3", what="salesforce.cdc.Account.deleted", time=at(0)),
            an_event("4", what="salesforce.cdc.Account__c.created", time=at(0)),
        ),
    )
    await append_to(log, an_append(an_event("5", time=at(0)), at=2, channel=OTHER))


async def test_history_is_read_beside_the_owner(world: World) -> None:
    """All events of one entity, whatever their kind and their channel, and those of no other entity."""
    async with world.open() as log:
        await filled(log)
        async with world.history() as history:
            assert await told(history, "Account", NOW - 3_600) == ["1", "3", "5"]
            assert await told(history, "Contact", NOW - 3_600) == ["2"]
            assert await told(history, "Lead", NOW - 3_600) == []


async def test_history_is_read_without_an_owner(world: World) -> None:
    """And what the next owner appends is read too."""
    async with world.open() as log:
        await filled(log)
    async with world.history() as history:
        assert await told(history, "Account", NOW - 3_600) == ["1", "3", "5"]
        async with world.open() as log:
            await log.checkpoint(CHANGES)
            await append_to(log, an_append(an_event("6", time=at(0)), at=3))
            assert await told(history, "Account", NOW - 3_600) == ["1", "3", "5", "6"]


async def test_history_ends(world: World) -> None:
    """Nothing was appended so late."""
    async with world.open() as log:
        await filled(log)
        async with world.history() as history:
            assert await told(history, "Account", NOW + 3_600) == []


async def test_long_history_comes_in_pages(world: World) -> None:
    """Each event once."""
    async with world.open() as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(*(an_event(f"{number:04}", time=at(0)) for number in range(MANY))))
        async with world.history() as history:
            assert await told(history, "Account", NOW - 3_600) == [f"{number:04}" for number in range(MANY)]


async def test_whole_history_has_no_beginning_to_tell(world: World) -> None:
    """No event was deleted."""
    async with world.open() as log:
        await filled(log)
        async with world.history() as history:
            assert (await history.start("Account", NOW - 3_600)).begins_at is None


async def test_checkpoints_of_all_channels_are_known(world: World) -> None:
    """The last of each."""
    async with world.open() as log:
        await filled(log)
        await append_to(log, an_append(at=7))
        async with world.history() as history:
            found = {each.channel: each for each in await history.checkpoints()}
    assert found == {CHANGES: a_checkpoint(7), OTHER: a_checkpoint(2, channel=OTHER)}


async def test_log_without_events_has_no_checkpoint(world: World) -> None:
    """Nor a history."""
    async with world.open(), world.history() as history:
        assert list(await history.checkpoints()) == []
        assert await told(history, "Account", NOW - 3_600) == []
