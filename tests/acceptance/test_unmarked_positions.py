"""A channel whose checkpoint has no position is read after its retention, and no hole is silent."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from streamer.controls import ChannelPosition
from streamer.events import HoleCause, Repair, Start
from streamer.ingest.positions.checkpoints import ChannelStart, Since
from streamer.settings import Transport
from tests.acceptance.replica.world import World, unread_org

pytestmark = [pytest.mark.timeout(0)]

_HOUR_S = 3600.0
_TRANSPORTS = (Transport.COMETD, Transport.PUBSUB)

Life = Callable[[World], Awaitable[None]]
"""Life of a channel up to the moment at which its daemon is killed."""


def create(world: World, name: str) -> str:
    """Create an account."""
    with world.sandbox.org.transaction() as transaction:
        return transaction.create("Account", {"Name": name})


async def begun(world: World) -> None:
    """Wait until the channel has its first checkpoint, and nothing is left to do."""
    world.start()
    while not (world.log.checkpoints and world.is_done):
        await world.turn(1)


async def quiet_day(world: World) -> None:
    """Let nothing happen for a day."""
    await begun(world)
    await world.turn(24 * _HOUR_S)


async def reset(world: World) -> None:
    """Reset the stream of a channel that had events."""
    await begun(world)
    create(world, "Acme")
    await world.settle()
    await world.turn(600)
    await world.kill()
    world.sandbox.faults.reset_stream()
    world.start()
    await world.settle()


async def set_to_latest(world: World) -> None:
    """Order new events on a channel that had some."""
    await begun(world)
    create(world, "Acme")
    await world.settle()
    await world.order_position(ChannelPosition.LATEST, since=None, repeat=False)
    await world.turn(1)
    await world.settle()


async def read_over_the_other_transport(world: World) -> None:
    """Change the transport of a channel whose last event is closed by a quiet answer."""
    await begun(world)
    create(world, "Acme")
    await world.settle()
    await world.turn(600)
    await world.kill()
    world.transport = Transport.PUBSUB if world.transport is Transport.COMETD else Transport.COMETD


async def away(world: World, *, hours: float) -> None:
    """Kill the daemon, let the org change at once and once more in the end, and start it after `hours`."""
    await world.kill()
    gone = create(world, "Berg")
    create(world, "Cato")
    with world.sandbox.org.transaction() as transaction:
        transaction.delete("Account", gone)
    await world.turn(hours * _HOUR_S - 60)
    create(world, "Dahl")
    await world.turn(60)
    world.start()
    await world.turn(1)


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest.mark.parametrize("start", [Start.LATEST, Start.EARLIEST, "since", "snapshot"])
async def test_absence_before_the_first_event_is_a_hole(transport: Transport, start: str) -> None:
    """However the channel began: what the org has forgotten is read from its records."""
    await _lives_through(begun, transport, start)


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest.mark.parametrize("life", [quiet_day, reset, set_to_latest, read_over_the_other_transport])
async def test_absence_without_a_position_is_a_hole(transport: Transport, life: Life) -> None:
    """By whatever way the channel has lost its position, or has not had one yet."""
    await _lives_through(life, transport, Start.LATEST)


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest.mark.parametrize("life", [begun, set_to_latest, read_over_the_other_transport])
async def test_absence_within_the_retention_is_no_hole(transport: Transport, life: Life) -> None:
    """All is retained, and each event comes once."""
    async with unread_org(transport, Start.LATEST) as world:
        await life(world)
        known = len(world.holes)
        await away(world, hours=70)
        await world.settle()

        assert len(world.holes) == known
        assert len({each.id for each in world.log.events}) == len(world.log.events)


async def _lives_through(life: Life, transport: Transport, start: str) -> None:
    async with unread_org(transport) as world:
        begins = Since(at=world.clock.now()) if start == "since" else start
        world.start_at = _known(begins)
        if start == "snapshot":
            create(world, "There before")
        await life(world)
        known = {each.id for each in world.holes}
        await away(world, hours=96)
        await world.settle()

        assert _told(world, known) == [(HoleCause.PLACE_LOST, Repair.FULL)] or _told(world, known) == [
            (HoleCause.REPLAY_ID_REFUSED, Repair.FULL)
        ]


def _known(start: object) -> ChannelStart:
    assert isinstance(start, Since | Start) or start == "snapshot"
    return start


def _told(world: World, known: set[str]) -> Sequence[tuple[HoleCause, Repair]]:
    return [(each.cause, each.state) for each in world.holes if each.id not in known]
