"""A gap event is followed by the record's values, as soon as the record can be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.continuity import ChannelRepairs, EntityReader, GapRepair, Readings, Snapshots
from streamer.continuity.entity_reader import OrgReaders
from streamer.continuity.gaps import gap_from_json
from streamer.errors import RecordsRefused, RetryLater
from streamer.events import Batch, ContinuityRecord, Event, HoleCause, JsonObject, Repair
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.holes import first_snapshot
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemoryQueries, MemoryRecords, MemorySource
from tests.messages import CHANGES, batch, change
from tests.unit.normalise.describes import CONTACT

ADA, EVE, IDA = (f"003AB00000TEST{number}YAA" for number in range(3))
ROW: JsonObject = {"Id": ADA, "FirstName": "Ada", "LastName": "Berg", "Phone": None}
TOLD: JsonObject = {"Name": {"FirstName": "Ada", "LastName": "Berg"}, "Phone": None}


def gap(replay_id: int, *ids: str, kind: str = "UPDATE") -> dict[str, Any]:
    """Return a gap event of contacts."""
    return change(replay_id, *ids, kind=f"GAP_{kind}", entity="Contact")


async def nothing() -> Sequence[str]:
    """Return the entities of the channel, which no gap event of a record asks for."""
    return ()


class CountedReadings(Readings):
    """Readings that count how often they are asked for work."""

    asked = 0

    @property
    def has_work(self) -> bool:
        """True while a reading is open."""
        self.asked += 1
        return super().has_work


@dataclass
class World:
    """One channel, the org behind it, and the log."""

    records: MemoryRecords = field(
        default_factory=lambda: MemoryRecords({"Contact": {ADA: ROW}}, {"Contact": CONTACT})
    )
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=TurnedClock)
    metrics: Metrics = field(init=False)
    script: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count what happens."""
        self.metrics = Metrics(clock=self.clock)

    async def read(self, *batches: Batch) -> list[Event]:
        """Go on reading with a new process; return the events that are new in the log."""
        before = len(self.log.events)
        self.script += batches
        await Ingest(
            source=MemorySource({CHANGES.path: self.script}),
            log=ChannelLog(
                channel=CHANGES, log=self.log, clock=self.clock, observer=self.metrics.channel(CHANGES)
            ),
            messages=MessageReader(
                channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=self.clock)
            ),
            positioning=Positioning(channel=CHANGES, clock=self.clock),
            repairs=ChannelRepairs(channel=CHANGES, gaps=self.gap_repair(), readings=self.readings()),
        ).run()
        return self.log.events[before:]

    def gap_repair(self) -> GapRepair:
        """Return the repair of gap events that a new process begins with."""
        rereading = Rereading(channel=CHANGES, records=self.records, clock=self.clock)
        return GapRepair(channel=CHANGES, rereading=rereading, describer=self.records, clock=self.clock)

    def readings(self) -> "CountedReadings":
        """Return the readings of entities that a new process begins with."""
        queries = MemoryQueries(self.clock, self.records.records)
        reader = EntityReader(
            channel=CHANGES,
            org=OrgReaders(
                queries=queries, replication=queries, records=self.records, describer=self.records
            ),
            entities=nothing,
            clock=self.clock,
        )
        snapshots = Snapshots(channel=CHANGES, log=self.log, ended=lambda _: None)
        return CountedReadings(reader=reader, snapshots=snapshots, clock=self.clock)

    @property
    def holes(self) -> dict[str, ContinuityRecord]:
        """Last states of the continuity records, by the record that they are about."""
        return {each.detail.split()[-1]: each for each in self.log.continuity}

    def count(self, what: str) -> float:
        """Return what is counted of gap events."""
        labels = {"channel": CHANGES.path, "cause": "gap_event"}
        return self.metrics.registry.get_sample_value(f"streamer_continuity_{what}_total", labels) or 0.0


def kinds(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return the kinds and the records of events, in their order."""
    return [(event.type.rpartition(".")[2], event.key) for event in events]


async def test_record_is_told_right_after_its_gap_event() -> None:
    """Before any later event, with all its fields; and the hole is closed in the same append."""
    world = World()
    events = await world.read(batch(gap(1, ADA), change(2, ADA, entity="Contact", Phone="1")), batch())

    assert kinds(events) == [("gap", ADA), ("updated", ADA), ("updated", ADA)]
    told = events[2]
    assert (told.id, told.data["fields"]) == (f"{events[0].id}:recovered", TOLD)
    assert told.data["recovered"]["reason"] == "GAP_UPDATE"
    [hole] = world.log.continuity
    assert (hole.state, hole.cause, hole.entity) == (Repair.FULL, HoleCause.GAP_EVENT, "Contact")
    assert (hole.found, hole.published, hole.progress, hole.updated_at) == (1, 1, {}, None)
    assert (world.count("records"), world.count("unrepaired")) == (1, 0)


async def test_record_that_is_gone_becomes_a_deletion() -> None:
    """Whatever the gap event says; one that exists again is undeleted."""
    world = World()
    events = await world.read(batch(gap(1, EVE, kind="CREATE"), gap(2, ADA, kind="DELETE")), batch())

    assert kinds(events) == [("gap", EVE), ("gap", ADA), ("deleted", EVE), ("undeleted", ADA)]
    assert [world.holes[each].found for each in (EVE, ADA)] == [0, 1]


async def test_records_of_many_gap_events_cost_one_call() -> None:
    """Merged or not, and of several answers while one call has to wait; a describe is remembered."""
    world = World()
    await world.read(batch(gap(1, ADA, EVE), gap(2, IDA), gap(3, ADA)), batch(gap(4, EVE)), batch())

    assert [ids for _, ids, _ in world.records.requests] == [[], [ADA, EVE, IDA], [EVE]]


async def test_record_that_cannot_be_read_waits_in_the_log() -> None:
    """Events go on meanwhile; a later answer of the channel, a quiet one too, tries again."""
    world = World()
    world.records.error = RetryLater("503")
    events = await world.read(batch(gap(1, ADA)), batch(change(2, EVE, entity="Contact")))
    assert kinds(events) == [("gap", ADA), ("updated", EVE)]
    waiting = world.holes[ADA]
    assert (waiting.state, gap_from_json(waiting.progress).id) == (Repair.OPEN, events[0].id)
    assert [each.state for each in await world.log.open_holes(CHANGES)] == [Repair.OPEN]

    world.records.error = None
    # Another process goes on, after a restart.
    again = await world.read(batch())

    assert kinds(again) == [("updated", ADA)]
    assert again[0].data["fields"] == TOLD
    ended = world.holes[ADA]
    assert ended == replace(
        waiting, state=Repair.FULL, found=1, published=1, progress={}, updated_at=world.clock.now()
    )
    assert await world.log.open_holes(CHANGES) == []
    assert (world.count("records"), world.count("unrepaired")) == (1, 0)


async def test_plain_events_ask_no_part_of_the_repairs() -> None:
    """Every event asks the repairs; without open work they ask nobody."""
    world = World()
    readings = world.readings()
    repairs = ChannelRepairs(channel=CHANGES, gaps=world.gap_repair(), readings=readings)
    repairs.resume([], lambda: None)
    asked = readings.asked
    for _ in range(3):
        assert not repairs.follows_changes
        assert (await repairs.repaired([], 0.0)).is_empty
    assert readings.asked == asked


async def test_reading_that_nobody_announced_is_work() -> None:
    """A part does not have to tell that it has work: its open holes are looked at when asked."""
    world = World()
    readings = world.readings()
    repairs = ChannelRepairs(channel=CHANGES, gaps=None, readings=readings)
    assert not repairs.has_work
    assert not repairs.follows_changes

    readings.adopted(first_snapshot(CHANGES, world.clock.now()))

    assert repairs.has_work
    assert repairs.follows_changes


async def test_gap_event_that_nobody_announced_is_repaired_with_the_next_answer() -> None:
    """A part does not have to tell that a gap event waits for its record."""
    world = World()
    await world.read(batch(gap(1, ADA)), batch())
    [event] = [event for event in world.log.events if event.is_gap]
    gaps = world.gap_repair()
    repairs = ChannelRepairs(channel=CHANGES, gaps=gaps, readings=None)
    world.records.error = RetryLater("503")
    assert not (await gaps.repaired([event], 0.0)).events
    world.records.error = None
    await world.clock.turn(20)

    assert kinds((await repairs.repaired([], 0.0)).events) == [("updated", ADA)]


async def test_field_that_is_gone_costs_another_describe() -> None:
    """The record is read with the fields that there are."""
    world = World()
    await world.read(batch(gap(1, ADA)), batch())
    repairs = world.gap_repair()
    [first] = [event for event in world.log.events if event.is_gap]
    assert len((await repairs.repaired([first], 0.0)).events) == 1
    world.records.hidden = frozenset({"Phone"})
    assert not (await repairs.repaired([first], 0.0)).events
    await world.clock.turn(20)
    repaired = await repairs.repaired([], 0.0)

    assert repaired.events[0].data["fields"] == {"Name": TOLD["Name"]}


async def test_entity_that_is_refused_does_not_hold_up_another() -> None:
    """Its gap events wait."""
    world = World()
    world.records.describes["Lead"] = {"name": "Lead", "fields": []}
    lead = "00QAB00000TEST1YAA"
    await world.read(batch(change(1, lead, kind="GAP_UPDATE", entity="Task"), gap(2, ADA)), batch())

    assert {name: hole.state for name, hole in world.holes.items()} == {
        lead: Repair.OPEN,
        ADA: Repair.FULL,
    }


async def test_row_that_is_no_record_ends_the_repair() -> None:
    """The same answer would come again; the hole says so."""
    world = World()
    world.records.records["Contact"][ADA] = {**ROW, "LastModifiedDate": "soon"}
    events = await world.read(batch(gap(1, ADA)), batch())

    assert kinds(events) == [("gap", ADA)]
    [hole] = world.log.continuity
    assert hole.state is Repair.NONE
    assert "LastModifiedDate" in hole.detail
    assert world.count("unrepaired") == 1


class RowsOfAnyForm(MemoryRecords):
    """Records of an org that answers a list for Ada, where each row must be an object."""

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return the rows of the records."""
        return {**await super().read(entity, ids, fields), ADA: cast("JsonObject", [])}


async def test_defect_of_a_repair_is_logged_with_its_traceback() -> None:
    """The hole names only the kind of error, because an error can quote a value. Other rows count."""
    rows = {ADA: ROW, EVE: {**ROW, "Id": EVE}}
    world = World(records=RowsOfAnyForm({"Contact": rows}, {"Contact": CONTACT}))
    with capture_logs() as lines:
        events = await world.read(batch(gap(1, ADA), gap(2, EVE)), batch())

    assert kinds(events)[-1] == ("updated", EVE)
    assert world.holes["AttributeError"].detail.endswith(f"{ADA}: AttributeError")
    [defect] = [line for line in lines if line["event"] == "gap.not_repaired"]
    assert (defect["log_level"], defect["exc_info"], defect["entity"]) == ("error", True, "Contact")
    [done] = [line for line in lines if line["event"] == "gaps.repaired"]
    assert (done["records"], done["failed"]) == (1, 1)


async def test_progress_that_cannot_be_read_ends_the_repair() -> None:
    """Somebody else can have written it."""
    world = World()
    world.records.error = RetryLater("503")
    await world.read(batch(gap(1, ADA)), batch())
    world.log.continuity.append(replace(world.holes[ADA], progress={"gap": {"id": 7}}))
    world.records.error = None
    assert await world.read(batch()) == []

    assert world.log.continuity[-1].state is Repair.NONE
    assert "the gap event in the log can't be read" in world.log.continuity[-1].detail


async def test_refused_describe_is_no_failure_of_the_channel() -> None:
    """Such as that of an entity which the user can't see over REST."""
    world = World()
    world.records.error = RecordsRefused("no access", code="INSUFFICIENT_ACCESS")
    await world.read(batch(gap(1, ADA)), batch(change(2, EVE, entity="Contact")), batch())

    assert kinds(world.log.events) == [("gap", ADA), ("updated", EVE)]
    assert world.holes[ADA].state is Repair.OPEN


async def test_many_gaps_are_repaired_with_several_answers() -> None:
    """The memory of what is read is bounded, and so is an append."""
    world = World()
    ids = [f"003AB00000{number:05d}YAA" for number in range(2_300)]
    world.records.records["Contact"] = {each: ROW | {"Id": each} for each in ids}
    world.records.error = RetryLater("503")
    await world.read(batch(gap(1, *ids)))
    world.records.error = None

    # The script's quiet answers come again to each process.
    told = [len(await world.read(batch())) for _ in range(2)]

    assert told == [1_000, 1_300]
    assert {each.state for each in world.holes.values()} == {Repair.FULL}
    assert world.holes.keys() == set(ids)


async def test_gaps_that_wait_are_bounded() -> None:
    """Those beyond are recorded alone."""
    world = World()
    world.records.error = RetryLater("503")
    await world.read(batch(gap(1, *(f"003AB00000{number:05d}YAA" for number in range(10_010)))))
    states = [each.state for each in world.log.continuity]

    assert (states.count(Repair.OPEN), states.count(Repair.NONE)) == (10_000, 10)
