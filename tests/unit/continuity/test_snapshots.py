"""Snapshots on demand: each order is carried out once, and paused and cancelled as wanted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from streamer.app.ingest.orders import SnapshotOrders
from streamer.clock import TurnedClock
from streamer.continuity import (
    ChannelRepairs,
    EntityReader,
    LetterDecoder,
    LetterRedrives,
    Readings,
    Snapshots,
    begun_record,
    has_records_of,
)
from streamer.continuity.entity_reader import OrgReaders
from streamer.controls import AuditRecord, SnapshotOrder, Wanted
from streamer.errors import RetryLater
from streamer.events import Checkpoint, ContinuityRecord, HoleCause, JsonObject, Repair, ReplayId
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.ports import Deletion
from streamer.salesforce.memory import MemoryRecords
from tests.contracts.values import an_event
from tests.messages import CHANGES
from tests.unit.continuity.org import History, Queries
from tests.unit.ingest.test_between_answers import LiveSource
from tests.unit.normalise.describes import CONTACT, described
from tests.unit.normalise.describes import field as a_field

IDS = [f"003AB00000TEST{number}YAA" for number in range(5)]
LEADS = ["00QAB00000TEST0YAA", "00QAB00000TEST1YAA"]
POSITION = ReplayId(b"7")
ORDER = SnapshotOrder(
    id="snapshot:1", channel=CHANGES.path, entity="Contact", where="Phone != ''", by="anna", at=5.0
)


def row(record_id: str, name: str = "Ada") -> JsonObject:
    """Return a record."""
    return {"Id": record_id, "FirstName": name, "LastName": "Berg"}


@dataclass
class World:
    """A log, an org, and the process that owns the channel."""

    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=TurnedClock)
    history: History = field(default_factory=History)
    queries: Queries = field(init=False)
    records: MemoryRecords = field(init=False)
    orders: SnapshotOrders = field(init=False)
    readings: Readings = field(init=False)
    woken: int = 0

    def __post_init__(self) -> None:
        """Fill the org, and start the process."""
        rows = {"Contact": [row(each) for each in IDS], "Lead": [row(each) for each in LEADS]}
        self.queries = Queries(clock=self.clock, rows=rows)
        lead = described("Lead", a_field("Id", "id"), a_field("Company"))
        self.records = MemoryRecords(
            {"Contact": {each: row(each, "Eve") for each in IDS}}, {"Contact": CONTACT, "Lead": lead}
        )
        self.orders = SnapshotOrders(controls=self.log.controls, clock=self.clock)

    async def start(self) -> None:
        """Own the channel again."""
        reader = EntityReader(
            channel=CHANGES,
            org=OrgReaders(
                queries=self.queries,
                replication=self.history,
                records=self.records,
                describer=self.records,
            ),
            entities=self._entities,
            clock=self.clock,
        )
        snapshots = Snapshots(channel=CHANGES, log=self.log, ended=self.orders.end)
        self.readings = Readings(reader=reader, snapshots=snapshots, clock=self.clock)
        self.orders.subscribe(CHANGES, self.readings.follow)
        self.readings.resume(await self.log.open_holes(CHANGES), self._wake)

    async def order(self, order: SnapshotOrder = ORDER) -> None:
        """Order it, and let the process know."""
        await self.log.controls.order_snapshot(order, AuditRecord(at=1.0, what="snapshot.ordered", by="x"))
        await self.settle()

    async def settle(self) -> None:
        """Let the other tasks go on."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def work(self, steps: int = 50) -> int:
        """Take so many steps, or as many as there are; return their number."""
        for done in range(steps):
            if not self.readings.has_work:
                return done
            repaired = await self.readings.step(POSITION)
            growing = self.log.begin(CHANGES)
            growing.add(repaired.events)
            checkpoint = Checkpoint(channel=CHANGES, replay_id=POSITION, verified_at=1.0)
            await growing.commit(checkpoint, continuity=repaired.records)
            await self.settle()
            if repaired.again_in_s:
                return done + 1
        return steps

    @property
    def holes(self) -> dict[str, ContinuityRecord]:
        """Last state of each record."""
        return {each.id: each for each in self.log.continuity}

    @property
    def told(self) -> Sequence[str]:
        """Records in the log, in their order."""
        return [event.key for event in self.log.events]

    async def ordered(self) -> set[str]:
        """Return the orders that stand."""
        async for board in self.log.controls.switched():
            return set(board.snapshots)
        return set()

    async def _entities(self) -> Sequence[str]:
        return []

    def _wake(self) -> None:
        self.woken += 1


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A process that owns the channel and follows the orders."""
    world = World()
    await world.start()
    following = asyncio.create_task(world.orders.run())
    await world.settle()
    yield world
    following.cancel()
    await asyncio.wait([following])


async def test_order_is_read_once_and_removed(world: World) -> None:
    """Its continuity record tells what was found and published, and by whom it was wanted."""
    assert not world.readings.has_work
    await world.order()
    assert world.woken
    await world.work()

    assert world.told == IDS
    assert {event.type for event in world.log.events} == {"salesforce.cdc.Contact.snapshot"}
    first = world.log.continuity[0]
    assert (first.cause, first.state, first.entity) == (HoleCause.SNAPSHOT, Repair.OPEN, "Contact")
    [hole] = world.holes.values()
    assert (hole.state, hole.found, hole.published) == (Repair.FULL, 5, 5)
    assert hole.detail == "anna ordered a snapshot of Contact where Phone != ''"
    assert world.queries.where == ["Phone != ''"]
    assert await world.ordered() == set()
    audit = (await world.log.controls.audit(last=1))[0]
    assert (audit.what, audit.detail["state"], audit.detail["published"]) == ("snapshot.ended", "full", 5)
    assert not world.readings.has_work


async def test_snapshot_since_a_time_tells_deletions_too(world: World) -> None:
    """Of the records that were changed since then, by their stamps."""
    gone = "003AB00000TEST9YAA"
    world.history.deletions = [Deletion(record_id=gone, deleted_at=world.clock.now() - 60)]
    await world.order(replace(ORDER, since=world.clock.now() - 3_600))
    await world.work()
    await world.clock.turn(60)
    await world.work()

    assert world.queries.where == ["(Phone != '') AND SystemModstamp >= 2024-12-31T22:40:00.000Z"]
    assert world.told == [*IDS, gone]
    assert world.log.events[-1].is_deletion
    [hole] = world.holes.values()
    assert hole.state is Repair.FULL
    assert (
        hole.detail == "anna ordered a snapshot of Contact where Phone != '' since 2024-12-31T23:00:00.000Z"
    )


async def test_snapshot_goes_on_after_a_crash(world: World) -> None:
    """Records in the log are not read again."""
    await world.order()
    await world.work(4)
    before = world.told
    await world.start()
    await world.work()

    assert 0 < len(before) < 5
    assert world.told == IDS
    assert len(world.queries.jobs) == 1


async def test_ended_snapshot_is_not_run_again_after_a_crash(world: World) -> None:
    """Its last rows are durable, and the order stands, because the process died before it was removed."""
    await world.order()
    while Repair.FULL not in {each.state for each in world.log.continuity}:
        await world.work(1)
    assert await world.ordered() == {ORDER.id}
    await world.start()
    await world.work()

    assert world.told == IDS
    assert await world.ordered() == set()


async def test_change_of_an_ended_snapshot_orders_nothing(world: World) -> None:
    """It was on its way when the snapshot ended; the order does not stay either."""
    await world.order()
    await world.work()
    await world.order(replace(ORDER, wanted=Wanted.PAUSED))
    await world.work()

    assert (world.told, await world.ordered()) == (IDS, set())
    assert world.holes[ORDER.id].state is Repair.FULL


async def test_end_is_told_once_for_each_order(world: World) -> None:
    """Its removal can take its time; what was ordered meanwhile has to be removed as well."""
    told: list[ContinuityRecord] = []
    await world.order()
    await world.work(4)
    await world.start()
    world.readings.snapshots.ended = told.append
    await world.work()
    assert (len(told), world.readings.has_work) == (1, False)
    await world.order(replace(ORDER, wanted=Wanted.PAUSED))
    await world.work()

    assert [each.state for each in told] == [Repair.FULL, Repair.FULL]
    assert (world.told, world.readings.has_work) == (IDS, False)


async def test_paused_snapshot_lets_the_next_one_go_on(world: World) -> None:
    """The paused one then continues where it was, also in another process."""
    await world.order()
    await world.work(4)
    before = world.told
    await world.order(replace(ORDER, wanted=Wanted.PAUSED, by="otto"))
    assert not world.readings.has_work
    await world.order(replace(ORDER, id="snapshot:2", entity="Lead", where=""))
    await world.work()
    assert world.told == [*before, *LEADS]
    await world.start()
    assert await world.work() == 0

    await world.order()
    await world.work()
    assert world.told == [*before, *LEADS, *IDS[len(before) :]]


async def test_snapshot_waits_until_its_order_is_known() -> None:
    """A new process must not continue a paused snapshot."""
    world = World()
    await world.start()
    hole = ContinuityRecord(
        id=ORDER.id,
        channel=CHANGES,
        cause=HoleCause.SNAPSHOT,
        detail="",
        recorded_at=1.0,
        state=Repair.OPEN,
        progress={"parts": [{"entity": "Contact"}]},
    )
    world.readings.resume([hole], lambda: None)
    assert not world.readings.has_work
    # Nobody wants it otherwise.
    world.readings.follow({})

    assert world.readings.has_work


@pytest.mark.parametrize(("steps", "state"), [(0, Repair.NONE), (2, Repair.NONE), (4, Repair.PARTIAL)])
async def test_cancelled_snapshot_ends(world: World, steps: int, state: Repair) -> None:
    """Before it begins, before its first rows and after them; the record says who cancelled it."""
    await world.order()
    await world.work(steps)
    before = world.told
    await world.order(replace(ORDER, wanted=Wanted.CANCELLED, by="otto"))
    await world.work()

    hole = world.holes[ORDER.id]
    assert (hole.state, hole.detail.rpartition("; ")[2]) == (state, "cancelled by otto")
    assert (world.told, await world.ordered()) == (before, set())
    assert world.queries.ended == world.queries.jobs


async def test_snapshot_that_waits_for_requests_is_cancelled_at_once(world: World) -> None:
    """The pause belongs to requests to the org; another snapshot begins within it, and keeps it."""
    world.queries.requests_left = 0.0
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_loop(world).run())
        await world.order()
        await world.clock.turn(1)
        assert "requests" in str(world.holes[ORDER.id].progress)
        world.queries.requests_left = None
        await world.order(replace(ORDER, wanted=Wanted.CANCELLED, by="otto"))
        await world.order(replace(ORDER, id="snapshot:2"))
        await world.clock.turn(1)
        states = [world.holes[each].state for each in (ORDER.id, "snapshot:2")]
        await world.clock.turn(290)
        assert (states, world.told) == ([Repair.NONE, Repair.OPEN], [])
        await world.clock.turn(20)
        running.cancel()

    assert world.told == IDS


async def test_snapshot_is_cancelled_at_once_when_its_last_request_asks_for_a_pause(world: World) -> None:
    """The order has come while the request was under way."""

    def ask_for_a_pause() -> None:
        world.readings.follow({ORDER.id: replace(ORDER, wanted=Wanted.CANCELLED)})
        raise RetryLater("The org is busy", after_s=300.0)

    world.queries.on_page = ask_for_a_pause
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_loop(world).run())
        await world.order()
        await world.clock.turn(10)
        running.cancel()

    assert world.holes[ORDER.id].state is Repair.NONE


def _loop(world: World) -> Ingest:
    """Return the loop of the channel, which is quiet, with letters that can be redriven."""
    world.log.checkpoints[CHANGES] = Checkpoint(channel=CHANGES, replay_id=POSITION, verified_at=1.0)
    normalise = normaliser_for(CHANGES)
    decoder = LetterDecoder(
        channel=CHANGES, normalise=normalise, unsealed=lambda letter: letter.raw, clock=world.clock
    )
    redrives = LetterRedrives(
        controls=world.log.controls,
        decoder=decoder,
        clock=world.clock,
        ended=lambda _: None,
    )
    return Ingest(
        source=LiveSource(),
        log=ChannelLog(
            channel=CHANGES,
            log=world.log,
            clock=world.clock,
            observer=Metrics(clock=world.clock).channel(CHANGES),
        ),
        messages=MessageReader(
            channel=CHANGES, normalise=normalise, quarantine=Quarantine(clock=world.clock)
        ),
        positioning=Positioning(channel=CHANGES, clock=world.clock),
        repairs=ChannelRepairs(channel=CHANGES, gaps=None, readings=world.readings, redrives=redrives),
    )


async def test_records_that_change_during_a_pause_are_read_again(world: World) -> None:
    """A job of the Bulk API is older than what the log holds by then, and nobody notes the changes."""
    world.queries.counted = 10_000
    await world.order()
    await world.work(3)
    before = world.told
    await world.order(replace(ORDER, wanted=Wanted.PAUSED))
    world.history.changed_ids = [IDS[4]]
    await world.order()
    await world.work(1)
    await world.clock.turn(60)
    await world.work()

    assert (world.told[: len(before)], world.history.asked) == (before, 1)
    fields = {event.key: event.data["fields"]["Name"]["FirstName"] for event in world.log.events}
    # Until the org can tell which have changed, each is read again.
    assert [fields[each] for each in IDS] == ["Ada", "Ada", "Eve", "Eve", "Eve"]


async def test_changes_that_are_known_are_not_forgotten_while_a_page_is_read(world: World) -> None:
    """A pause that is over before the page has come must not let its old rows pass."""

    def hesitate() -> None:
        world.readings.follow({ORDER.id: replace(ORDER, wanted=Wanted.PAUSED)})
        world.readings.follow({ORDER.id: ORDER})

    world.queries.counted = 10_000
    await world.order()
    await world.work(2)
    world.readings.taken([replace(an_event(1), data={"record_id": IDS[0]})])
    world.queries.on_page = hesitate
    await world.work(1)

    assert [event.data["fields"]["Name"]["FirstName"] for event in world.log.events] == ["Ada", "Eve"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"where": "Name = 'x"}, "the condition has a text that begins at character 8 and does not end"),
        ({"entity": "Contact; x"}, "'Contact; x' is not the name of an object or of a field"),
        ({"fields": ("Name", "name")}, "a field is named twice"),
        ({"fields": ("Nonsense",)}, "Contact has no field Nonsense"),
    ],
)
async def test_order_that_cannot_be_carried_out_ends(
    world: World, change: dict[str, str | tuple[str, ...]], reason: str
) -> None:
    """With the reason in its record; it holds up nothing."""
    await world.order(replace(ORDER, **change))  # type: ignore[arg-type] # fields of an order
    await world.work()

    hole = world.holes[ORDER.id]
    assert hole.state is Repair.NONE
    assert reason in hole.detail
    assert await world.ordered() == set()


async def test_order_for_another_channel_is_not_ours(world: World) -> None:
    """It waits for its owner."""
    await world.order(replace(ORDER, channel="/data/ContactChangeEvent"))

    assert not world.readings.has_work
    assert await world.ordered() == {ORDER.id}


async def test_log_that_is_down_delays_the_beginning(world: World) -> None:
    """No snapshot begins while the log can't say if it has ended."""
    await world.order()
    world.log.faults.down = True
    assert (await world.readings.step(POSITION)).again_in_s > 0
    world.log.faults.down = False
    await world.work()

    assert world.told == IDS


async def test_removal_is_repeated_until_the_log_takes_it(world: World) -> None:
    """Another removal follows then."""
    await world.order()
    while Repair.FULL not in {each.state for each in world.log.continuity}:
        await world.work(1)
    world.log.faults.down = True
    await world.readings.step(POSITION)
    await world.settle()
    assert await world.ordered() == {ORDER.id}
    world.log.faults.down = False
    await world.clock.turn(60)
    await world.settle()

    assert await world.ordered() == set()


HOLE = ContinuityRecord(
    id="h",
    channel=CHANGES,
    cause=HoleCause.OVERFLOW,
    detail="",
    recorded_at=100.0,
    state=Repair.NONE,
    entity="Account",
    verified_at=100.0,
)
LONG_NAME = "a" * 500
"""Name of an operator that fills the detail of a record."""


def test_record_keeps_what_a_snapshot_selects() -> None:
    """The detail has no room for it, and can contain the words of an order."""
    everything = SnapshotOrder(id="s", channel=CHANGES.path, entity="Account", by=LONG_NAME, at=1.0)
    some = replace(everything, where="Name = 'A'", by="anna ordered a snapshot of Account; ")

    assert has_records_of(begun_record(CHANGES, everything), HOLE)
    assert not has_records_of(begun_record(CHANGES, some), HOLE)


@pytest.mark.parametrize(
    ("chosen", "selects_all"),
    [
        ({}, True),
        ({"where": "Name = 'A'"}, False),
        ({"fields": ("Name",)}, False),
        ({"since": 50.0}, True),
        ({"since": 150.0}, False),
        ({"by": LONG_NAME}, False),
    ],
)
def test_older_record_says_in_its_detail_what_it_selects(
    *, chosen: dict[str, Any], selects_all: bool
) -> None:
    """A detail that was cut leaves open what the snapshot selected."""
    order = replace(
        SnapshotOrder(id="s", channel=CHANGES.path, entity="Account", by="anna", at=1.0), **chosen
    )
    older = replace(begun_record(CHANGES, order), selection=None)

    assert has_records_of(older, HOLE) == selects_all
