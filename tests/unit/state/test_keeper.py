"""The keeper reads changes, and settles them with the states that follow from them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streamer.clock import TurnedClock
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    Event,
    HoleCause,
    OrgId,
    Repair,
    SubscriberName,
)
from streamer.log.memory import MemoryLog
from streamer.observe.state_metrics import StateMetrics
from streamer.state.keeper import SUBSCRIBER, StateKeeper
from streamer.state.readings import StateReadings
from tests.unit.state.test_merging import BEFORE, LATER, NOW, SOON, event, row

CHANGES = Channel(org=OrgId("00D000000000001EAA"), path="/data/ChangeEvents")
LAST = "2025-01-01T00:30:00.000Z"
WHOLE_ID, OTHER_ID = "001000000000001AAA", "001000000000002AAA"


@dataclass(kw_only=True)
class World:
    """A log in memory, and its keeper."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)

    def keeper(self) -> StateKeeper:
        """Return a keeper of accounts."""
        readings = StateReadings.of(["Account"], [CHANGES.path], self.log, self.clock)
        return StateKeeper(
            log=self.log,
            clock=self.clock,
            readings=readings,
            metrics=StateMetrics(CollectorRegistry()),
        )

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[StateKeeper]:
        """Run a keeper."""
        keeper = self.keeper()
        running = asyncio.create_task(keeper.run())
        await self.clock.turn(0.1)
        try:
            yield keeper
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def append(self, *entries: Any) -> None:
        """Append the events of `entries`."""
        events: list[Event] = [entry.event for entry in entries]
        append = self.log.begin(CHANGES)
        append.add(events)
        await append.commit(Checkpoint(channel=CHANGES, replay_id=None, verified_at=0.0))
        await self.clock.turn(0.1)

    @property
    def orders(self) -> list[str]:
        """Conditions of the open orders, in their order."""
        return [order.where for order in self.log.controls._board.snapshots.values()]

    @property
    def written(self) -> list[dict[str, Any] | None]:
        """Fields of the states, in their order."""
        return [state.fields for state in self.log.states.written]

    async def end_first(self, keeper: StateKeeper) -> None:
        """End the first snapshot."""
        (order,) = self.log.controls._board.snapshots.values()
        self.log.continuity.append(
            ContinuityRecord(
                id=order.id,
                channel=CHANGES,
                cause=HoleCause.SNAPSHOT,
                detail="",
                recorded_at=order.at,
                state=Repair.FULL,
            )
        )
        await self.log.controls.order_snapshot(replace(order, ended_at=1.0), _audit())
        await self.clock.turn(10)
        await self.append(event("gap", BEFORE))
        assert not keeper.readings.loading


def _audit() -> Any:
    from streamer.controls import AuditRecord

    return AuditRecord(at=0.0, what="snapshot.ended", by="test")


@pytest.fixture
def world() -> World:
    """Begin with an empty log."""
    return World()


async def test_states_follow_the_changes(world: World) -> None:
    """Each change gives a whole record."""
    async with world.kept():
        await world.append(event("created", Name="Acme"), event("updated", SOON, commit=6, Phone="1"))
        await world.append(event("deleted", LATER, commit=7))

    assert world.written == [{"Name": "Acme"}, {"Name": "Acme", "Phone": "1"}, None]


async def test_new_states_begin_with_a_snapshot(world: World) -> None:
    """A second keeper, or a restart, orders nothing more."""
    async with world.kept(), world.kept():
        pass
    async with world.kept():
        assert world.orders == [""]


async def test_update_before_its_row_waits_for_the_row(world: World) -> None:
    """The first snapshot brings the record."""
    async with world.kept():
        await world.append(event("updated", Phone="1"))
        await world.append(row(SOON, Name="Acme", Phone="1"))

        assert world.orders == [""]
    assert world.written == [{"Name": "Acme", "Phone": "1"}]


async def test_unknown_record_is_read_after_the_first_snapshot(world: World) -> None:
    """It is ordered once, whatever follows, until its values arrive."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("updated", Phone="1"), event("updated", SOON, commit=6, Phone="2"))
        await world.append(event("updated", LATER, commit=7, Phone="3"))
        assert world.orders == ["Id IN ('001')"]
        await world.append(row(LATER, Name="Acme", Phone="3"))
        assert not len(keeper.readings.dirty)

    assert world.written == [{"Name": "Acme", "Phone": "3"}]


async def test_change_after_an_unclear_one_waits_too(world: World) -> None:
    """Its base can lack the unclear change."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme"))
        await world.append(event("updated", SOON, commit=1, Name="unclear"))
        await world.append(event("updated", LATER, commit=8, Phone="1"))
        assert world.written == [{"Name": "Acme"}]
        await world.append(event("deleted", LATER, commit=9))

    assert world.written == [{"Name": "Acme"}, None]


async def test_record_that_never_arrives_is_ordered_again(world: World) -> None:
    """But not soon, because the user may not see it."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("updated", Phone="1"))
        await world.clock.turn(300)
        await world.append(event("updated", SOON, commit=6, Phone="2"))
        assert len(world.orders) == 1
        await world.clock.turn(301)
        await world.append(event("updated", LATER, commit=7, Phone="3"))
        assert len(world.orders) == 2


@pytest.mark.parametrize(("change", "looks_for_deletions"), [("GAP_UPDATE", False), ("GAP_DELETE", True)])
async def test_gap_event_that_ingest_does_not_repair(
    world: World, change: str, *, looks_for_deletions: bool
) -> None:
    """The keeper orders the record, and looks for its deletion if the event stands for one."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        keeper.readings.unrepaired = frozenset([CHANGES.path])
        await world.append(event("gap", NOW, record=WHOLE_ID, change=change))

    (order,) = world.log.controls._board.snapshots.values()
    assert order.where == f"Id IN ('{WHOLE_ID}')"
    assert (order.since is not None) is looks_for_deletions


async def test_only_the_process_that_reads_the_changes_orders_a_row_again(world: World) -> None:
    """After a move, the next owner orders the row at the record's next update."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("updated", Phone="1"))
        partitions = list(world.log.settled[SUBSCRIBER])
        world.log.consumers.reassign(SUBSCRIBER, partitions, to=None)
        await world.clock.turn(1000)
        assert len(world.orders) == 1
        (feed,) = world.log.consumers.feeds
        world.log.consumers.reassign(SUBSCRIBER, partitions, to=feed)
        await world.append(event("updated", SOON, commit=6, Phone="2"))
        await world.clock.turn(5)
        assert len(world.orders) == 2


async def test_restart_continues_where_it_was(world: World) -> None:
    """States and positions are settled together."""
    async with world.kept():
        await world.append(event("created", Name="Acme"))
    await world.append(event("updated", SOON, commit=6, Phone="1"))
    async with world.kept():
        await world.append(event("updated", LATER, commit=7, Fax="2"))

    assert world.written[1:] == [{"Name": "Acme", "Phone": "1"}, {"Name": "Acme", "Phone": "1", "Fax": "2"}]


async def test_log_that_is_down_for_a_while(world: World) -> None:
    """The keeper goes on afterwards."""
    async with world.kept():
        await world.append(event("created", Name="Acme"))
        world.log.faults.down = True
        await world.clock.turn(60)
        world.log.faults.down = False
        await world.append(event("updated", SOON, commit=6, Phone="1"))
        await world.clock.turn(5)

    assert world.written == [{"Name": "Acme"}, {"Name": "Acme", "Phone": "1"}]


async def test_partition_that_moves_away_and_back(world: World) -> None:
    """The next owner settles events that the former owner has only read."""
    async with world.kept():
        await world.append(event("created", Name="Acme"))
        partitions = list(world.log.settled[SUBSCRIBER])
        world.log.consumers.reassign(SUBSCRIBER, partitions, to=None)
        await world.append(event("updated", SOON, commit=6, Phone="1"))
        assert world.written == [{"Name": "Acme"}]
        (feed,) = world.log.consumers.feeds
        world.log.consumers.reassign(SUBSCRIBER, partitions, to=feed)
        await world.clock.turn(5)

    assert world.written == [{"Name": "Acme"}, {"Name": "Acme", "Phone": "1"}]


def test_name_is_free() -> None:
    """No configured subscriber has this name."""
    assert SubscriberName("-state") == SUBSCRIBER


async def test_keeper_that_waits_is_not_busy(world: World) -> None:
    """But a keeper that works on the same events is."""
    async with world.kept() as keeper:
        await world.append(event("created", Name="Acme"))
        assert keeper.following
        assert keeper.busy_since is None
        await world.end_first(keeper)
        # Orders of single records are a second apart.
        await world.append(event("updated", LATER, commit=1, Name="x"))
        await world.append(event("updated", LATER, commit=1, sequence=2, Name="y"))
    assert not keeper.following
    assert keeper.busy_since is None


async def test_restart_before_the_row_does_not_mix_values(world: World) -> None:
    """The state lacks the unclear change, so the next update waits for the row as well."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme", record=WHOLE_ID))
        await world.append(event("updated", SOON, commit=1, Name="unclear", record=WHOLE_ID))
    async with world.kept():
        await world.append(event("updated", LATER, commit=8, Phone="1", record=WHOLE_ID))
        assert world.written == [{"Name": "Acme"}]
        assert world.orders == [f"Id IN ('{WHOLE_ID}')"] * 2
        await world.append(row(LATER, Name="unclear", Phone="1", record=WHOLE_ID))

    assert world.written[1:] == [{"Name": "unclear", "Phone": "1"}]


def a_hole(world: World, **changed: Any) -> ContinuityRecord:
    """Return the record of a stream that was reset now."""
    hole = ContinuityRecord(
        id="refused",
        channel=CHANGES,
        cause=HoleCause.REPLAY_ID_REFUSED,
        detail="",
        recorded_at=world.clock.now(),
        state=Repair.OPEN,
        until=datetime.fromisoformat(NOW).timestamp(),
    )
    return replace(hole, **changed)


async def test_update_behind_an_open_hole_waits_for_its_row_without_an_order(world: World) -> None:
    """The repair of the hole brings the row, even after a restart, and then the next update is merged."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme", record=WHOLE_ID))
        hole = a_hole(world)
        world.log.continuity.append(hole)
        await world.append(event("updated", SOON, commit=6, Phone="1", record=WHOLE_ID))
        assert world.written == [{"Name": "Acme"}]
    async with world.kept():
        await world.append(event("updated", SOON, commit=7, Phone="2", record=WHOLE_ID))
        assert world.written == [{"Name": "Acme"}]
        await world.append(row(LATER, Name="New", Phone="2", record=WHOLE_ID))
        assert world.orders == []
        world.log.continuity.append(replace(hole, state=Repair.FULL, updated_at=world.clock.now()))
        await world.append(event("updated", LAST, commit=8, Fax="3", record=WHOLE_ID))

    assert world.written[1:] == [{"Name": "New", "Phone": "2"}, {"Name": "New", "Phone": "2", "Fax": "3"}]


async def test_record_that_the_repair_did_not_read_is_ordered_when_it_ends(world: World) -> None:
    """It has changed after the repair had read its object."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme", record=WHOLE_ID))
        hole = a_hole(world)
        world.log.continuity.append(hole)
        await world.append(event("updated", SOON, commit=6, Phone="1", record=WHOLE_ID))
        world.log.continuity.append(replace(hole, state=Repair.FULL, updated_at=world.clock.now()))
        assert world.orders == []
        await world.clock.turn(15)

        assert world.orders == [f"Id IN ('{WHOLE_ID}')"]


@pytest.mark.parametrize("state", [Repair.NONE, Repair.PARTIAL])
async def test_hole_that_nobody_repairs_is_ordered_once(world: World, state: Repair) -> None:
    """All records and their deletions, whichever process finds the hole, and however often."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        world.log.continuity.append(a_hole(world, state=state))
        await world.append(event("created", NOW, Name="Acme"))
        assert world.orders == ["", ""]
    async with world.kept(), world.kept():
        await world.append(event("created", LATER, Name="Other", record=OTHER_ID))
        assert world.orders == ["", ""]


@pytest.mark.parametrize(
    "changed",
    [
        {"cause": HoleCause.POSITION_REFUSED, "state": Repair.FULL},
        {"state": Repair.FULL},
        {"channel": replace(CHANGES, path="/data/ContactChangeEvent")},
        {"cause": HoleCause.SNAPSHOT},
    ],
)
async def test_record_that_hides_no_change_holds_nothing_up(world: World, changed: dict[str, Any]) -> None:
    """Nothing is missing, or something is missing elsewhere."""
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme"))
        world.log.continuity.append(a_hole(world, **changed))
        await world.append(event("updated", SOON, commit=6, Phone="1"))

    assert world.written == [{"Name": "Acme"}, {"Name": "Acme", "Phone": "1"}]


async def test_hole_before_the_first_snapshot_is_in_its_rows(world: World) -> None:
    """Only states that existed can lack a change."""
    world.log.continuity.append(a_hole(world, recorded_at=world.clock.now() - 1, state=Repair.NONE))
    async with world.kept() as keeper:
        await world.end_first(keeper)
        await world.append(event("created", NOW, Name="Acme"))
        assert world.orders == []


class _Mistaken(MemoryLog):
    """Log in which a mistake of the program meets the look for ended snapshots."""

    mistaken = False

    async def holes(self, ids: Any, /) -> Any:
        """Fail, or find."""
        if self.mistaken:
            raise RuntimeError("a mistake")
        return await super().holes(ids)


async def test_mistake_beside_the_reading_ends_the_keeper() -> None:
    """Otherwise its first snapshots would never end, and nobody would know."""
    log = _Mistaken()
    world = World(log=log)
    keeper = world.keeper()
    running = asyncio.create_task(keeper.run())
    await world.clock.turn(0.1)
    log.mistaken = True
    await world.clock.turn(10)

    with pytest.raises(RuntimeError, match="a mistake"):
        await running
