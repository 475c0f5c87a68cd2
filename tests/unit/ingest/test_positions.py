"""Positions that an operator orders: carried out once, between two answers, and never without a record."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.controls import ChannelPosition, PositionOrder
from streamer.errors import LogUnavailable, ReplayIdRefused, RetryLater
from streamer.events import (
    Batch,
    Checkpoint,
    ContinuityRecord,
    HoleCause,
    NewEventsAfter,
    Repair,
    ReplayId,
    SoughtPlace,
    Start,
)
from streamer.ingest.positions import OnRefused, OrderedPositions, Positioning
from streamer.ingest.positions.checkpoints import ChannelStart, Since
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.messages import CHANGES, batch, change
from tests.unit.ingest.test_between_answers import LiveSource, Steps
from tests.unit.ingest.test_relay import RefusingSource
from tests.waiting import awaited

T0 = 1_735_689_600.0
"""Commit time of the changes."""

ORDER = PositionOrder(
    id="position:1", channel=CHANGES.path, place=ChannelPosition.EARLIEST, by="ada", at=T0 + 50
)
SCRIPT = [batch(change(1, "001A"), change(2, "001B")), batch(change(3, "001C"))]


class Opening(Steps):
    """Repairs that will repair every hole."""

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Open it."""
        return replace(hole, state=Repair.OPEN)


@dataclass
class World:
    """A channel whose log holds a script, and the orders for it."""

    source: MemorySource = field(default_factory=lambda: MemorySource({CHANGES.path: SCRIPT}))
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=lambda: TurnedClock(T0 + 100))
    start: ChannelStart = Start.EARLIEST
    on_refused: OnRefused = "earliest"
    ended: list[str] = field(default_factory=list)

    def positions(self, *orders: PositionOrder) -> OrderedPositions:
        """Return the orders of the channel."""
        made = OrderedPositions(log=self.log, ended=lambda order, _: self.ended.append(order.id))
        made.follow({each.id: each for each in orders})
        return made

    def ingest(self, positions: OrderedPositions) -> Ingest:
        """Return what reads the channel."""
        return Ingest(
            source=self.source,
            log=ChannelLog(
                channel=CHANGES,
                log=self.log,
                clock=self.clock,
                observer=Metrics(clock=self.clock).channel(CHANGES),
            ),
            messages=MessageReader(
                channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=self.clock)
            ),
            positioning=Positioning(
                channel=CHANGES,
                clock=self.clock,
                start=self.start,
                on_refused=self.on_refused,
                orders=positions,
            ),
        )

    async def run(self, *orders: PositionOrder) -> None:
        """Read the script to its end, with these orders."""
        await self.ingest(self.positions(*orders)).run()

    @property
    def records(self) -> list[str]:
        """Return the log's events, by record."""
        return [event.key for event in self.log.events]

    @property
    def told(self) -> list[tuple[HoleCause, Repair, float | None, float | None]]:
        """The continuity records."""
        return [(each.cause, each.state, each.verified_at, each.until) for each in self.log.continuity]


async def read(**more: Any) -> World:
    """Return a world whose log holds the script."""
    world = World(**more)
    await world.run()
    assert world.records == ["001A", "001B", "001C"]
    world.source.opened.clear()
    return world


NOT_REPEATED = [
    replace(ORDER, place=ChannelPosition.EARLIEST),
    replace(ORDER, place=ChannelPosition.START),
    replace(ORDER, place=ChannelPosition.SINCE, since=T0 - 3600),
    replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"1")),
]


@pytest.mark.parametrize("order", NOT_REPEATED, ids=lambda each: each.place)
async def test_position_further_back_repeats_nothing(order: PositionOrder) -> None:
    """The log's events are left out by its last event; later ones are not."""
    world = await read()
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    await world.run(order)

    assert world.records == ["001A", "001B", "001C", "001D"]
    assert [(each[0], each[1]) for each in world.told] == [(HoleCause.POSITION_SET, Repair.FULL)]
    assert world.ended == [order.id]
    assert world.log.continuity[0].detail.startswith("ada set the position: reading continues ")


@pytest.mark.parametrize("place", [ChannelPosition.EARLIEST, ChannelPosition.SINCE])
async def test_repeat_appends_what_is_retained_once_more(place: ChannelPosition) -> None:
    """In Salesforce's order, so that the log ends with the last state again."""
    world = await read()
    since = T0 - 3600 if place is ChannelPosition.SINCE else None
    await world.run(replace(ORDER, place=place, since=since, repeat=True))

    assert world.records == ["001A", "001B", "001C"] * 2
    assert [each[1] for each in world.told] == [Repair.FULL]


async def test_what_is_skipped_is_a_hole() -> None:
    """From the last moment at which nothing was missing to the order."""
    world = await read()
    verified_at = world.log.checkpoints[CHANGES].verified_at
    world.source.script[CHANGES.path] = [batch(change(9, "001Z"))]
    await world.run(replace(ORDER, place=ChannelPosition.LATEST))

    after = world.source.opened[-1][1]
    assert isinstance(after, NewEventsAfter)
    assert after.skips_after == b"3"
    assert world.told == [(HoleCause.POSITION_SET, Repair.NONE, verified_at, T0 + 100)]


async def test_time_further_on_is_a_hole_up_to_that_time() -> None:
    """Salesforce sends all that it retains, and what is earlier is left out."""
    world = await read()
    verified_at = world.log.checkpoints[CHANGES].verified_at
    world.source.script[CHANGES.path].append(batch())
    await world.run(replace(ORDER, place=ChannelPosition.SINCE, since=T0 + 90))

    assert world.told == [(HoleCause.POSITION_SET, Repair.NONE, verified_at, T0 + 90)]


async def test_replay_id_further_on_is_a_hole() -> None:
    """The last event in the log does not come any more."""
    world = await read()
    world.source.script[CHANGES.path] += [batch(change(5, "001E")), batch(change(6, "001F")), batch()]
    await world.run(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"5")))

    assert world.records[3:] == ["001F"]
    assert [each[1] for each in world.told] == [Repair.NONE]
    assert "that id is after the last event in the log" in world.log.continuity[0].detail


async def test_replay_id_further_on_is_not_repaired() -> None:
    """An operator who skips a stretch does not want its records read, whatever the policy is."""
    world = await read(on_refused="repair")
    world.source.script[CHANGES.path] += [batch(change(5, "001E")), batch(change(6, "001F")), batch()]
    ingest = world.ingest(
        world.positions(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"5")))
    )
    ingest.repairs = Opening(clock=world.clock, has_work=False)
    await ingest.run()

    assert [each[1] for each in world.told] == [Repair.NONE]


class RefusesSkipped(MemorySource):
    """Loses its first session before an answer, and refuses the id before the skipped events."""

    async def batches(self, channel: Any, *, after: Checkpoint | Start) -> Any:
        """Refuse, or read."""
        if isinstance(after, NewEventsAfter):
            raise ReplayIdRefused("400::The replayId {3} you provided was invalid.", path=channel.path)
        async for each in super().batches(channel, after=after):
            yield each


async def test_new_events_behind_an_id_that_is_refused_are_not_repaired() -> None:
    """Retained events are read, without those in the log, and the order keeps its meaning."""
    world = await read(source=RefusesSkipped({CHANGES.path: list(SCRIPT)}), on_refused="repair")
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    ingest = world.ingest(world.positions(replace(ORDER, place=ChannelPosition.LATEST)))
    ingest.repairs = Opening(clock=world.clock, has_work=False)
    await ingest.run()

    assert [each[1] for each in world.told] == [Repair.NONE]
    assert world.records == ["001A", "001B", "001C", "001D"]


async def test_replay_id_beside_a_quiet_position_claims_nothing() -> None:
    """No event marks the place then, so nothing shows on which side of it the id lies."""
    world = await read()
    known = world.log.checkpoints[CHANGES]
    world.log.checkpoints[CHANGES] = replace(known, appended=(), open_replay_id=None)
    await world.run(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"1")))

    assert isinstance(world.source.opened[-1][1], SoughtPlace)
    assert world.told[0][1] is Repair.NONE
    assert "can't tell" in world.log.continuity[0].detail


async def test_replay_id_further_on_than_a_quiet_position_is_not_repaired() -> None:
    """The operator has named it: the policy does not apply to its hole."""
    world = quiet_world(on_refused="repair")
    await world.run()
    world.source.script[CHANGES.path] += [
        batch(change(5, "001E")),
        batch(change(6, "001F")),
        batch(at=T0 + 90),
    ]
    ingest = world.ingest(
        world.positions(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"5")))
    )
    ingest.repairs = Opening(clock=world.clock, has_work=False)
    await ingest.run()

    assert [each[1] for each in world.told] == [Repair.NONE]


async def test_place_older_than_the_retention_leaves_a_hole() -> None:
    """Events forgotten between the two are missing."""
    world = await read()
    await world.clock.turn(200 * 3600)
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    await world.run(ORDER)

    now = world.clock.now()
    assert [(each[1], each[3]) for each in world.told] == [(Repair.NONE, now - CHANGES.retention_s)]


async def test_refused_replay_id_leaves_the_position_as_it_was() -> None:
    """A mistyped id neither stops the channel nor is it tried for ever."""

    class RefusesOne(MemorySource):
        async def batches(self, channel: Any, *, after: Checkpoint | Start) -> Any:
            if isinstance(after, SoughtPlace):
                raise ReplayIdRefused("400::The replayId {7} you provided was invalid.", path=channel.path)
            async for each in super().batches(channel, after=after):
                yield each

    world = await read(source=RefusesOne({CHANGES.path: list(SCRIPT)}), on_refused="fail")
    before = world.log.checkpoints[CHANGES]
    await world.run(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(b"7")))

    assert world.log.checkpoints[CHANGES] == before
    assert (world.records, world.ended) == (["001A", "001B", "001C"], [ORDER.id])
    assert [each[:2] for each in world.told] == [(HoleCause.POSITION_REFUSED, Repair.FULL)]
    assert world.log.continuity[0].detail == (
        "ada ordered to read after the replay id 7, but Salesforce refused that id, so the position "
        "is unchanged. 400::The replayId {7} you provided was invalid."
    )


async def test_order_helps_a_channel_whose_replay_id_is_refused() -> None:
    """With the policy `fail`, it reads nothing until an operator orders another position."""
    world = await read(source=RefusingSource({CHANGES.path: list(SCRIPT)}), on_refused="fail")
    with pytest.raises(ReplayIdRefused):
        await world.run()
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    await world.run(ORDER)

    assert world.records == ["001A", "001B", "001C", "001D"]


async def test_order_is_carried_out_once() -> None:
    """Also when the process dies before it has removed the order."""
    world = await read()
    order = replace(ORDER, repeat=True)
    await world.run(order)
    await world.run(order)

    assert len(world.records) == 6
    assert len(world.told) == 1
    assert world.ended == [order.id] * 2


async def test_kill_before_the_commit_leaves_order_and_position() -> None:
    """Nothing of it is in the log, and the next run begins with it again."""
    world = await read()
    before = world.log.checkpoints[CHANGES]
    positions = world.positions(replace(ORDER, repeat=True))
    ingest = world.ingest(positions)
    world.log.faults.down = False
    refused = world.log.faults.refuse

    def down(_: object) -> bool:
        raise LogUnavailable("killed")

    world.log.faults.refuse = down
    with pytest.raises(LogUnavailable):
        await ingest.run()
    world.log.faults.refuse = refused

    assert (world.log.checkpoints[CHANGES], world.told, world.ended) == (before, [], [])
    await world.run(replace(ORDER, repeat=True))
    assert world.records == ["001A", "001B", "001C"] * 2


async def test_lost_answer_to_the_commit_repeats_nothing() -> None:
    """The record in the log shows that it was carried out."""
    world = await read()
    order = replace(ORDER, repeat=True)
    world.log.faults.fail_after_commit = True
    with pytest.raises(LogUnavailable):
        await world.run(order)
    await world.run(order)

    assert world.records == ["001A", "001B", "001C"] * 2
    assert len(world.told) == 1


async def test_new_channel_takes_an_order_too() -> None:
    """The log holds nothing, so nothing is lost."""
    world = World(start=Start.LATEST)
    await world.run(ORDER)

    assert world.source.opened == [(CHANGES.path, Start.EARLIEST)]
    assert [each[1] for each in world.told] == [Repair.FULL]


@pytest.mark.parametrize(
    ("start", "opened"),
    [(Start.LATEST, NewEventsAfter), ("snapshot", NewEventsAfter), (Since(at=T0 + 95), Checkpoint)],
)
async def test_reset_begins_as_the_configuration_says(start: ChannelStart, opened: type[Checkpoint]) -> None:
    """A channel that starts with a snapshot gets another one."""
    world = await read()
    world.start = start
    world.source.script[CHANGES.path] = [batch(change(9, "001Z"))]
    await world.run(replace(ORDER, place=ChannelPosition.START))

    after = world.source.opened[-1][1]
    assert type(after) is opened
    assert isinstance(after, Checkpoint)
    assert after.replay_id is None
    snapshots = [each for each in world.log.continuity if each.cause is HoleCause.SNAPSHOT]
    assert len(snapshots) == (start == "snapshot")


async def until(clock: TurnedClock, holds: Any) -> None:
    """Turn the clock until something holds."""
    for _ in range(100):
        if holds():
            return
        await clock.turn(0.1)
    raise AssertionError("it never came about")


async def test_orders_interrupt_a_quiet_and_a_busy_channel() -> None:
    """One that waits for an answer is not awaited, and of two orders the older is carried out first."""
    source = LiveSource()
    world = World(source=source, start=Start.LATEST)
    positions = world.positions()
    first = replace(ORDER, place=ChannelPosition.LATEST)
    second = replace(ORDER, id="position:2", at=T0 + 60)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.ingest(positions).run())
        source.coming.put_nowait(batch(change(1, "001A")))
        await until(world.clock, lambda: world.records == ["001A"])
        orders: Mapping[str, PositionOrder] = {each.id: each for each in (second, first)}
        positions.follow(orders)
        await until(world.clock, lambda: len(source.opened) == 2)
        assert world.ended == []
        source.coming.put_nowait(batch(change(2, "001B")))
        await until(world.clock, lambda: world.ended == [first.id])
        source.coming.put_nowait(batch(change(3, "001C")))
        await until(world.clock, lambda: world.ended == [first.id, second.id])
        running.cancel()

    assert [type(after) for _, after in source.opened[:2]] == [Start, NewEventsAfter]
    assert [each.id for each in world.log.continuity] == [first.id, second.id]
    assert "001C" in world.records


async def test_withdrawn_order_is_not_carried_out() -> None:
    """The next turn finds none."""
    world = await read()
    positions = world.positions(ORDER)
    positions.follow({})
    await world.ingest(positions).run()

    assert (world.told, world.ended) == ([], [])


@pytest.mark.parametrize("replay_id", [b"2", b"3"])
async def test_replay_id_at_which_the_log_ends_is_no_hole(replay_id: bytes) -> None:
    """The last event does not come behind it, which says nothing about the others."""
    world = await read()
    world.source.script[CHANGES.path] += [batch(change(4, "001D")), batch(at=T0 + 400)]
    await world.run(replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(replay_id)))

    assert world.records == ["001A", "001B", "001C", "001D"]
    assert [each[1] for each in world.told] == [Repair.FULL]


def quiet_world(**more: Any) -> World:
    """Return a world whose script ends with a quiet answer, some seconds after the last event."""
    return World(source=MemorySource({CHANGES.path: [*SCRIPT, batch(at=T0 + 5)]}), **more)


@pytest.mark.parametrize("order", NOT_REPEATED, ids=lambda each: each.place)
async def test_position_further_back_repeats_nothing_behind_a_quiet_answer(order: PositionOrder) -> None:
    """It has closed the position, behind which the last minute is not read again."""
    world = quiet_world()
    await world.run()
    assert world.log.checkpoints[CHANGES].open_replay_id is None
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    await world.run(order)

    assert world.records == ["001A", "001B", "001C", "001D"]
    assert world.ended == [order.id]


@pytest.mark.parametrize("order", NOT_REPEATED, ids=lambda each: each.place)
@pytest.mark.parametrize("end", [[], [batch(at=T0 + 5)]], ids=["after an event", "after a quiet answer"])
async def test_restart_after_an_order_and_a_quiet_answer_repeats_nothing(
    order: PositionOrder, end: list[Batch]
) -> None:
    """The place that was found is in the log with the order, so that nothing is sought a second time."""
    world = World(source=MemorySource({CHANGES.path: [*SCRIPT, *end]}))
    await world.run()
    world.source.script[CHANGES.path].append(batch(at=T0 + 20))
    await world.run(order)
    assert world.ended == [order.id]
    assert world.log.checkpoints[CHANGES].replay_id == ReplayId(b"3")
    world.source.script[CHANGES.path].append(batch(change(4, "001D")))
    await world.run()

    assert world.records == ["001A", "001B", "001C", "001D"]


async def test_split_event_behind_an_ordered_place_keeps_its_other_half() -> None:
    """Its halves share a replay id: the half that the log held before the order is still known after it."""
    world = World(source=MemorySource({CHANGES.path: [batch(change(3, "001A"))]}))
    await world.run()
    world.source.script[CHANGES.path].append(batch(change(3, "001B", transaction="t2")))
    await world.run(ORDER)
    await world.run()

    assert world.records == ["001A", "001B"]


async def test_order_helps_a_quiet_channel_whose_replay_id_is_refused() -> None:
    """The id of its quiet answer is tried, and then the events that are retained."""
    world = World(source=RefusingSource({CHANGES.path: []}), on_refused="fail")
    known = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"7"), verified_at=T0 + 1, positioned_at=T0 + 1)
    world.log.checkpoints[CHANGES] = known
    world.source.script[CHANGES.path] = [batch(change(120_000, "001D"))]
    await world.run(ORDER)

    assert world.records == ["001D"]
    # Nobody knows what lies between: the id was refused before its time.
    assert [each[1] for each in world.told] == [Repair.NONE]
    assert "refused" in world.log.continuity[0].detail


async def test_withdrawn_order_ends_where_it_is_carried_out() -> None:
    """As long as the log has no trace of it, reading begins again at the former position."""
    source = LiveSource()
    world = World(source=source, start=Start.LATEST)
    positions = world.positions()
    running = asyncio.create_task(world.ingest(positions).run())
    source.coming.put_nowait(batch(change(1, "001A")))
    await until(world.clock, lambda: world.records == ["001A"])
    positions.follow({ORDER.id: replace(ORDER, repeat=True)})
    await until(world.clock, lambda: len(source.opened) == 2)
    positions.follow({})
    with pytest.raises(RetryLater, match="withdrawn"):
        await awaited(running)

    assert (positions.has_order, positions.current) == (False, None)
    assert (world.told, world.ended) == ([], [])
