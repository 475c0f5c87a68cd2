"""Gap events are repaired even if the org's answer comes late."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.clock import TurnedClock
from streamer.continuity import ChannelRepairs, GapRepair
from streamer.events import Event, JsonObject
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.repairs import Repaired
from streamer.normalise import normaliser_for
from streamer.salesforce.memory import MemoryRecords
from tests.messages import CHANGES, change, events_of
from tests.unit.continuity.test_gaps import ADA, EVE, ROW, gap
from tests.unit.normalise.describes import CONTACT


class SlowRecords(MemoryRecords):
    """Records that need `answer_s` for each answer, and answer with the state at the time of the request."""

    def __init__(self, clock: TurnedClock, answer_s: float) -> None:
        """Hold one contact."""
        super().__init__({"Contact": {ADA: ROW}}, {"Contact": CONTACT})
        self.clock = clock
        self.answer_s = answer_s

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Read them, and wait."""
        found = await super().read(entity, ids, fields)
        await self.clock.sleep(self.answer_s)
        return found

    async def describe(self, entity: str, /) -> JsonObject:
        """Describe it, and wait."""
        found = await super().describe(entity)
        await self.clock.sleep(self.answer_s)
        return found


@dataclass
class World:
    """The repairs of a channel whose org needs `answer_s` for each answer."""

    answer_s: float
    clock: TurnedClock = field(default_factory=TurnedClock)
    records: SlowRecords = field(init=False)
    repairs: ChannelRepairs = field(init=False)
    recovered: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin."""
        self.records = SlowRecords(self.clock, self.answer_s)
        rereading = Rereading(channel=CHANGES, records=self.records, clock=self.clock)
        gaps = GapRepair(channel=CHANGES, rereading=rereading, describer=self.records, clock=self.clock)
        self.repairs = ChannelRepairs(channel=CHANGES, gaps=gaps, readings=None)

    async def answer(self, *events: Event, after_s: float = 60.0) -> Repaired:
        """Take an answer of the channel in, `after_s` after the one before."""
        await self.clock.turn(after_s)
        if self.repairs.follows_changes:
            self.repairs.taken(events)
        gaps = [each for each in events if each.is_gap]
        repairing = asyncio.create_task(self.repairs.repaired(gaps, self.clock.now()))
        began = self.clock.now()
        while not repairing.done():
            await self.clock.turn(1.0)
        assert self.clock.now() - began <= 12
        repaired = await repairing
        self.recovered += repaired.events
        return repaired

    async def answers(self, most: int) -> int:
        """Take empty answers in until something is recovered; return how many it took."""
        for number in range(most):
            if self.recovered:
                return number
            await self.answer()
        raise AssertionError(self.records.requests)


def of(*messages: dict[str, Any]) -> list[Event]:
    """Return the events of messages."""
    normalise = normaliser_for(CHANGES)
    return [event for message in messages for event in events_of(normalise, message)]


def told(number: int, record_id: str) -> Event:
    """Return the event of a change."""
    (event,) = of(change(number, record_id, entity="Contact", Phone=str(number)))
    return event


async def test_late_answer_recovers_the_record() -> None:
    """It is not asked for again, and neither is the describe."""
    world = World(25.0)
    await world.answer(*of(gap(1, ADA)))
    await world.answers(4)

    assert [each.key for each in world.recovered] == [ADA]
    assert [ids for _, ids, _ in world.records.requests] == [[], [ADA]]
    assert not world.repairs.follows_changes


async def test_record_that_the_stream_told_of_since_is_read_again() -> None:
    """The late answer is older than the event in the log."""
    world = World(25.0)
    await world.answer(*of(gap(1, ADA), gap(2, EVE)))
    while [ADA, EVE] not in [ids for _, ids, _ in world.records.requests]:
        await world.answer()
    world.records.records["Contact"][ADA] = {**ROW, "Phone": "7"}
    await world.answer(told(7, ADA))
    assert [each.key for each in world.recovered] == [EVE]
    world.recovered.clear()
    await world.answers(4)

    assert [each.data["fields"]["Phone"] for each in world.recovered] == ["7"]


async def test_nothing_is_asked_that_the_time_left_can_not_answer() -> None:
    """Answers of three seconds come with a budget of three at least, and none is given up."""
    world = World(3.0)
    for number in range(40):
        await world.answer(*of(gap(number + 1, f"003AB00000T{number:04d}AAA")), after_s=1.0)
    asked = [each for _, ids, _ in world.records.requests for each in ids]
    assert len(world.recovered) > 20
    assert len(asked) == len(set(asked)) == len(world.recovered)


async def test_event_that_another_repair_appends_counts_as_told() -> None:
    """A row that was read later must not be followed by an older one."""
    world = World(25.0)
    await world.answer(*of(gap(1, ADA)))
    while [ADA] not in [ids for _, ids, _ in world.records.requests]:
        await world.answer()
    assert world.repairs.follows_changes
    world.repairs.taken([replace(told(3, ADA), type="salesforce.cdc.Contact.snapshot")])
    await world.answer()
    assert not world.recovered
