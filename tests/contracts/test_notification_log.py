"""A notification is one event on every log, for every reader and every repetition by Salesforce."""

from streamer.clock import SystemClock
from streamer.events import EventId
from streamer.salesforce.outbound.recent import NotificationLog, RecentNotifications, slot_channel
from tests.contracts.values import CHANGES, a_checkpoint, a_dead_letter, an_event
from tests.contracts.worlds import Log, World


def remembering(log: Log) -> NotificationLog:
    """Return what a process that has just started knows."""
    return NotificationLog(log=log, recent=RecentNotifications(), clock=SystemClock())


async def test_restart_knows_the_notifications_of_the_log(world: World) -> None:
    """Their ids are committed with them, over several slots, and dead letters beside them."""
    async with world.open() as log:
        first = remembering(log)
        assert await first.checkpoint(CHANGES) is None
        for number in range(3):
            growing = first.begin(CHANGES)
            growing.add([an_event(f"{number}-{each}") for each in range(600)])
            await growing.commit(a_checkpoint(number), set_aside=[a_dead_letter(str(number))])
    async with world.open() as log:
        again = remembering(log)
        found = await again.checkpoint(CHANGES)
        assert found is not None
        assert (found.channel, len(again.recent)) == (CHANGES, 1_800)
        assert EventId("0-0") in again.recent
        assert EventId("3-0") not in again.recent
        assert await log.checkpoint(slot_channel(CHANGES, 1)) is not None
        assert await log.checkpoint(CHANGES) is None
        growing = again.begin(CHANGES)
        growing.add([an_event("3-0")])
        await growing.commit(a_checkpoint(3))

        assert EventId("3-0") in again.recent
    assert len(await letters(world)) == 3


async def letters(world: World) -> list[str]:
    """Return the ids of the dead letters."""
    async with world.open():
        return [letter.id for letter in await world.dead_letters()]
