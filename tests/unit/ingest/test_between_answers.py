"""Repairs between the answers of a channel do not delay it, and observe their pauses."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from streamer.clock import TurnedClock
from streamer.errors import ReplayIdRefused
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    Event,
    EventId,
    HoleCause,
    Repair,
    ReplayId,
    Start,
)
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.holes import holes_of
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.message_reader import ChannelProtection, Protection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.ingest.repairs import Repaired
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.contracts.values import an_event
from tests.messages import CHANGES, batch, change
from tests.unit.ingest.test_protection import WITH_KEY
from tests.unit.protection.rules import rule

KNOWN = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"5"), verified_at=1_735_689_600.0)
SECRET = {"Email": "ada@example.com"}
UPDATED = "salesforce.cdc.Account.updated"


@dataclass
class Steps:
    """Repairs that bring one event a step, take `step_s` for it, and ask for a pause of `again_in_s`."""

    clock: TurnedClock
    again_in_s: float = 0.0
    step_s: float = 0.0
    has_work: bool = True
    follows_changes: bool = True
    wake: Callable[[], None] = lambda: None
    made_at: list[float] = field(default_factory=list)
    noted: int = 0
    noted_at: list[int] = field(default_factory=list)

    def resume(self, _: Sequence[ContinuityRecord], wake: Callable[[], None], /) -> None:
        """Keep how to wake the loop."""
        self.wake = wake

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Repair nothing."""
        return hole

    def taken(self, events: Sequence[Event], /) -> None:
        """Count them."""
        self.noted += len(events)

    async def step(self, position: ReplayId, /) -> Repaired:
        """Bring an event."""
        self.made_at.append(self.clock.now())
        self.noted_at.append(self.noted)
        await self.clock.sleep(self.step_s)
        number = len(self.made_at)
        body = {"changed_fields": [], "nulled_fields": [], "fields": {**SECRET}}
        data = {"entity": "Account", "record_id": "001S", "change": "SNAPSHOT", **body}
        event_id = EventId(f"step:{number}")
        event = replace(an_event("001S"), id=event_id, replay_id=position, key="step", data=data)
        return Repaired(events=[event], again_in_s=self.again_in_s)

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Tell the records of gaps."""
        told = [
            replace(
                each,
                id=EventId(f"{each.id}:recovered"),
                type=UPDATED,
                data={**each.data, "fields": {**SECRET}},
            )
            for each in gaps
        ]
        return Repaired(events=told, records=holes_of(gaps, CHANGES, read_at))


class LiveSource(MemorySource):
    """Gives the batches that a test puts; with `refuses`, it refuses every replay id."""

    refuses = False

    def __init__(self) -> None:
        """Begin without any."""
        super().__init__({})
        self.coming: asyncio.Queue[Batch] = asyncio.Queue()

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield what comes."""
        self.opened.append((channel.path, after))
        if self.refuses and isinstance(after, Checkpoint) and after.replay_id is not None:
            raise ReplayIdRefused("400::The replayId {5} you provided was invalid.", path=channel.path)
        while True:
            yield await self.coming.get()


@dataclass
class World:
    """A channel that is read, and its repairs."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    source: LiveSource = field(default_factory=LiveSource)
    steps: Steps = field(init=False)
    ingest: Ingest = field(init=False)

    def __post_init__(self) -> None:
        """Go on after a checkpoint."""
        self.log.checkpoints[CHANGES] = KNOWN
        self.steps = Steps(self.clock)
        self.ingest = Ingest(
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
            positioning=Positioning(channel=CHANGES, clock=self.clock, on_refused="earliest"),
            repairs=self.steps,
        )

    async def run(self, until: Callable[[], object], every: Callable[[int], Batch], *, each_s: float) -> None:
        """Give a batch every `each_s` seconds until a condition holds."""
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.ingest.run())
            for number in range(1, 1_000):
                if until():
                    break
                self.source.coming.put_nowait(every(number))
                await self.clock.turn(each_s)
            running.cancel()


def one_change(number: int) -> Batch:
    """Return a batch with one change."""
    return batch(change(number + 10, "001A"))


async def test_pause_is_kept_on_a_busy_channel() -> None:
    """An org that asks for a pause gets it, however many answers come meanwhile."""
    world = World()
    world.steps.again_in_s = 60.0
    began = world.clock.now()
    await world.run(lambda: world.clock.now() >= began + 100, one_change, each_s=1.0)

    assert [at - began for at in world.steps.made_at] == [0.0, 60.0]
    assert sum(event.key == "001A" for event in world.log.events) >= 95


@pytest.mark.parametrize("step_s", [0.0, 20.0])
async def test_wake_ends_a_pause_at_once(step_s: float) -> None:
    """Between two steps, and during one, which asks for its pause afterwards."""
    world = World()
    world.steps.again_in_s, world.steps.step_s = 300.0, step_s
    began = world.clock.now()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.ingest.run())
        await world.clock.turn(10)
        world.steps.wake()
        await world.clock.turn(270)
        running.cancel()

    assert [at - began for at in world.steps.made_at] == [0.0, max(10.0, step_s)]


async def test_wakes_leave_a_busy_channel_its_time() -> None:
    """They end the pause that a step has asked for, and not the time of the answers."""
    world = World()
    world.steps.again_in_s, world.steps.step_s = 300.0, 10.0
    began = world.clock.now()

    def every(number: int) -> Batch:
        world.steps.wake()
        return one_change(number)

    await world.run(lambda: world.clock.now() >= began + 400, every, each_s=1.0)

    assert 9 <= len(world.steps.made_at) <= 11


async def test_slow_steps_leave_a_busy_channel_its_time() -> None:
    """Three quarters of it: an answer that waited for a step is followed by others without one."""
    world = World()
    world.steps.step_s = 10.0
    began = world.clock.now()
    await world.run(lambda: world.clock.now() >= began + 400, one_change, each_s=1.0)

    assert 9 <= len(world.steps.made_at) <= 11


async def test_steps_of_a_quiet_channel_follow_each_other() -> None:
    """Nothing waits for them."""
    world = World()
    world.steps.step_s = 1.0
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.ingest.run())
        await world.clock.turn(30)
        running.cancel()

    assert len(world.steps.made_at) >= 30


async def test_step_leaves_the_checkpoint_as_it_is() -> None:
    """Records read from the org prove nothing about the stream."""
    world = World()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.ingest.run())
        await world.clock.turn(5)
        world.steps.has_work = False
        await world.clock.turn(5)
        running.cancel()

    assert world.log.events
    assert world.log.checkpoints[CHANGES] == KNOWN
    assert world.ingest.log.verified_at == KNOWN.verified_at


async def test_no_step_comes_between_the_pieces_of_an_answer() -> None:
    """Their events are not in the log yet, and what is read would be newer."""
    world = World()

    def piece(number: int) -> Batch:
        return replace(one_change(number), more=number % 4 != 0)

    await world.run(lambda: len(world.log.events) > 40, piece, each_s=1.0)

    assert {noted % 4 for noted in world.steps.noted_at} == {0}
    assert max(world.steps.noted_at) >= 8


async def test_lost_place_of_a_refused_position_is_no_full_repair() -> None:
    """Salesforce does not retain the last event: the stream was reset, and events of it are gone."""
    world = World()
    world.steps.has_work = False
    at = world.clock.now()
    position = replace(KNOWN, verified_at=at, positioned_at=at - 72 * 3600, open_replay_id=ReplayId(b"6"))
    world.log.checkpoints[CHANGES] = position
    world.source.refuses = True
    await world.run(
        lambda: world.log.continuity, lambda n: replace(one_change(n), place_lost=n == 1), each_s=1.0
    )

    [hole] = world.log.continuity
    assert (hole.cause, hole.state) == (HoleCause.REPLAY_ID_REFUSED, Repair.NONE)
    assert "no longer retains the last event" in hole.detail


async def test_reading_of_the_open_holes_is_a_wait_for_the_log() -> None:
    """Which can be stuck as any other."""
    world = World()
    waiting = asyncio.Event()

    async def open_holes(_: Channel) -> Sequence[ContinuityRecord]:
        await waiting.wait()
        return []

    world.ingest.log.log = _Slow(world.log, open_holes)  # type: ignore[assignment] # it has what the start needs
    running = asyncio.create_task(world.ingest.run())
    await world.clock.turn(1)
    assert world.ingest.log.busy_since is not None
    waiting.set()
    await world.clock.turn(1)
    assert world.ingest.log.busy_since is None
    running.cancel()


@dataclass
class _Slow:
    log: MemoryLog
    open_holes: Callable[[Channel], object]

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)


async def test_what_is_read_from_the_org_is_protected() -> None:
    """Between the answers, and with them."""
    world = World()
    rules = Protection([rule("drop", "Email")], WITH_KEY)
    world.ingest.messages.protection = ChannelProtection(protection=rules, channel=CHANGES)
    await world.run(
        lambda: len(world.log.events) > 20,
        lambda number: batch(change(number + 10, "001A", kind="GAP_UPDATE")),
        each_s=1.0,
    )

    assert any(event.id.startswith("step:") for event in world.log.events)
    assert any(event.id.endswith(":recovered") for event in world.log.events)
    assert not [event for event in world.log.events if "Email" in event.data["fields"]]
