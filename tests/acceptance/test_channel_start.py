"""A new channel starts at a time or with all existing records, and misses nothing from there on."""

from collections.abc import Sequence

import pytest

from streamer.events import HoleCause, Repair, Start
from streamer.ingest.positions.checkpoints import Since
from streamer.settings import Transport
from tests.acceptance.replica.world import World, unread_org

both = pytest.mark.parametrize("transport", [Transport.COMETD, Transport.PUBSUB])
_HOUR_S = 3600.0
_RETAINED_S = 72 * _HOUR_S


def create(world: World, *names: str) -> list[str]:
    """Create accounts, in one transaction."""
    with world.sandbox.org.transaction() as transaction:
        return [transaction.create("Account", {"Name": name}) for name in names]


def update(world: World, record_id: str, name: str) -> None:
    """Give an account another name."""
    with world.sandbox.org.transaction() as transaction:
        transaction.update("Account", record_id, {"Name": name})


def delete(world: World, record_id: str) -> None:
    """Delete an account."""
    with world.sandbox.org.transaction() as transaction:
        transaction.delete("Account", record_id)


async def begin(world: World) -> None:
    """Start the daemon, and return once the log has its first checkpoint."""
    world.start()
    while not world.log.checkpoints:
        await world.turn(0.1)


def told(world: World) -> list[tuple[str, str]]:
    """Return the kinds of the log's events, and the ids of their records."""
    return [(each.type.rpartition(".")[2], each.key) for each in world.log.events]


async def until_told(world: World, wanted: Sequence[tuple[str, str]]) -> None:
    """Turn the clock until the log has as many events as are wanted; these must be the wanted ones."""
    for _ in range(200):
        if len(world.log.events) >= len(wanted):
            break
        await world.turn(1.0)
    assert told(world) == list(wanted)


@both
async def test_start_since_a_time_reads_what_was_committed_from_then_on(transport: Transport) -> None:
    """Nothing before it, everything behind it, also after a restart, and no hole."""
    async with unread_org(transport) as world:
        create(world, "before")
        await world.turn(30.0)
        world.start_at = Since(at=world.clock.now())
        [first] = create(world, "at the time")
        await world.turn(_HOUR_S)
        second, third = create(world, "behind it", "with it")
        created = [("created", each) for each in (first, second, third)]
        world.start()
        await until_told(world, created)
        await world.kill()
        [fourth] = create(world, "away")
        world.start()
        await until_told(world, [*created, ("created", fourth)])

        assert world.holes == []


@both
async def test_start_since_a_time_with_nothing_behind_it_goes_on_with_new_events(
    transport: Transport,
) -> None:
    """The events left out come neither at once nor after a restart."""
    async with unread_org(transport) as world:
        create(world, "before")
        await world.turn(300.0)
        world.start_at = Since(at=world.clock.now())
        await world.turn(300.0)
        for name in ("one", "two"):
            world.start()
            for _ in range(60):
                await world.turn(5.0)
            [new] = create(world, name)
            for _ in range(60):
                await world.turn(5.0)
            await world.kill()

            assert told(world)[-1] == ("created", new)
        assert len(world.log.events) == 2


@both
async def test_start_since_a_time_before_the_retention_reads_the_records_that_changed(
    transport: Transport,
) -> None:
    """The hole is as wide as what is no longer retained, and is repaired once."""
    async with unread_org(transport) as world:
        create(world, "long before")
        await world.turn(_HOUR_S)
        since = world.clock.now()
        world.start_at = Since(at=since)
        changed, gone = create(world, "not retained", "not retained either")
        await world.turn(_HOUR_S)
        delete(world, gone)
        await world.turn(_RETAINED_S)
        [retained] = create(world, "retained")
        begun = world.clock.now()
        await begin(world)
        await world.kill()
        world.start()
        for _ in range(600):
            if world.holes and world.holes[0].state is not Repair.OPEN:
                break
            await world.turn(5.0)

        [hole] = world.holes
        assert (hole.cause, hole.state) == (HoleCause.BEFORE_RETENTION, Repair.FULL)
        assert hole.verified_at == since
        assert hole.until == pytest.approx(begun - _RETAINED_S, abs=60.0)
        assert set(told(world)) == {
            ("created", retained),
            ("snapshot", retained),
            ("snapshot", changed),
            ("deleted", gone),
        }


@both
@pytest.mark.parametrize("kills", [0, 4])
async def test_start_with_a_snapshot_ends_at_the_orgs_records(transport: Transport, kills: int) -> None:
    """Whatever changes while it runs, and wherever the process dies; a later start takes no other."""
    async with unread_org(transport, "snapshot") as world:
        names = [f"Account {number}" for number in range(16)]
        ids = [record_id for number in range(4) for record_id in create(world, *names[number::4])]
        with world.sandbox.org.transaction() as transaction:
            contact = transaction.create("Contact", {"LastName": "Berg"})
        await world.turn(_HOUR_S)
        await begin(world)
        assert len(world.holes) == 1
        for number in range(12):
            update(world, ids[number], f"changed {number}")
            delete(world, ids[15 - number % 4]) if number < 4 else create(world, f"new {number}")
            if kills and number % 3 == 0:
                await world.kill()
                update(world, ids[number], "changed while away")
                world.start()
            await world.turn(1.0)
        await world.settle()
        [snapshot] = world.holes
        await world.kill()
        world.start()
        create(world, "later")
        await world.settle()

        assert world.holes == [snapshot]
        assert (snapshot.cause, snapshot.state) == (HoleCause.SNAPSHOT, Repair.FULL)
        assert snapshot.published == sum(kind == "snapshot" for kind, _ in told(world)) > len(ids) // 2
        assert [kind for kind, key in told(world) if key == contact] == ["snapshot"]


async def test_start_with_new_events_reads_no_records() -> None:
    """As the others do not."""
    async with unread_org(Transport.PUBSUB, Start.LATEST) as world:
        create(world, "before")
        await world.turn(60.0)
        world.start()
        for _ in range(60):
            await world.turn(5.0)
        [new] = create(world, "new")

        await until_told(world, [("created", new)])
        assert world.holes == []
