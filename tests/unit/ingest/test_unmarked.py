"""A checkpoint without a position: the events that Salesforce has deleted since then are a hole."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.controls import ChannelPosition, PositionOrder
from streamer.errors import ReplayIdRefused
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    EventId,
    HoleCause,
    Repair,
    ReplayId,
    Start,
    Unreadable,
)
from streamer.ingest.positions import OnRefused, OrderedPositions, Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.messages import CHANGES, ORG, batch, change
from tests.unit.ingest.test_positions import Opening

T0 = 1_735_689_600.0
_HOUR_S = 3600.0
QUIET = Checkpoint(channel=CHANGES, replay_id=None, verified_at=T0)
"""Checkpoint behind a quiet answer, before the channel's first event."""


class LateSource(MemorySource):
    """Answers `late_s` after it was asked, and refuses each replay id with `refuses`."""

    late_s = 0.0
    refuses = False
    clock: TurnedClock

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> Any:
        """Yield the script, read late."""
        if self.refuses and isinstance(after, Checkpoint) and after.replay_id is not None:
            raise ReplayIdRefused("400::The replayId {5} you provided was invalid.", path=channel.path)
        async for each in super().batches(channel, after=after):
            yield replace(each, read_at=self.clock.now() + self.late_s)


@dataclass
class World:
    """A channel that comes back."""

    channel: Channel = CHANGES
    on_refused: OnRefused = "repair"
    messages: tuple[Any, ...] = ()
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=lambda: TurnedClock(T0))
    source: LateSource = field(init=False)

    def __post_init__(self) -> None:
        """Let one answer come."""
        self.source = LateSource({})
        self.source.clock = self.clock

    async def run(self, after: Checkpoint | None, *orders: PositionOrder) -> list[ContinuityRecord]:
        """Read one answer after a checkpoint, and return the holes."""
        if after is not None:
            self.log.checkpoints[self.channel] = after
        answer = Batch(channel=self.channel, read_at=0, messages=self.messages)
        self.source.script[self.channel.path] = [answer]
        positions = OrderedPositions(log=self.log, ended=lambda *_: None)
        positions.follow({each.id: each for each in orders})
        await Ingest(
            source=self.source,
            log=ChannelLog(
                channel=self.channel,
                log=self.log,
                clock=self.clock,
                observer=Metrics(clock=self.clock).channel(self.channel),
            ),
            messages=MessageReader(
                channel=self.channel,
                normalise=normaliser_for(self.channel),
                quarantine=Quarantine(clock=self.clock),
            ),
            positioning=Positioning(
                channel=self.channel, clock=self.clock, on_refused=self.on_refused, orders=positions
            ),
            repairs=Opening(clock=self.clock, has_work=False),
        ).run()
        return list(self.log.continuity)


@pytest.mark.parametrize(
    ("path", "retained_h"),
    [("/data/ChangeEvents", 72), ("/event/Order__e", 72), ("/topic/Open", 24), ("/u/notifications/Demo", 24)],
)
@pytest.mark.parametrize("away_h", [-0.1, 0.1, 48])
async def test_position_without_an_id_is_a_hole_once_it_is_older_than_the_retention(
    path: str, retained_h: float, away_h: float
) -> None:
    """By the retention of the channel's kind; until then all of it is retained."""
    world = World(channel=Channel(org=ORG, path=path))
    await world.clock.turn((retained_h + away_h) * _HOUR_S)
    holes = await world.run(replace(QUIET, channel=world.channel))

    known = [(each.cause, each.state, each.verified_at, each.until) for each in holes]
    until = world.clock.now() - retained_h * _HOUR_S
    assert known == ([(HoleCause.PLACE_LOST, Repair.OPEN, T0 - 60, until)] if away_h > 0 else [])


@pytest.mark.parametrize("on_refused", ["earliest", "latest", "fail"])
async def test_policy_without_repair_records_the_hole(on_refused: OnRefused) -> None:
    """Whatever it says of refused ids, nothing is silent."""
    world = World(on_refused=on_refused)
    await world.clock.turn(100 * _HOUR_S)

    assert [each.state for each in await world.run(QUIET)] == [Repair.NONE]


async def test_answer_that_comes_late_is_judged_by_its_own_time() -> None:
    """Salesforce can be away while the process waits for it."""
    world = World()
    world.source.late_s = 80 * _HOUR_S
    [hole] = await world.run(QUIET)

    assert (hole.until, hole.recorded_at) == (T0 + 8 * _HOUR_S, T0 + 80 * _HOUR_S)


async def test_quiet_answers_after_the_hole_end_it() -> None:
    """The next start has a position that is younger than the retention."""
    world = World()
    await world.clock.turn(100 * _HOUR_S)
    await world.run(QUIET)

    assert len(await world.run(None)) == 1


async def test_last_event_that_is_found_proves_that_nothing_is_missing() -> None:
    """Salesforce can purge late, and forgets events in their order."""
    world = World(messages=(change(3, "001A"), change(4, "001B")))
    await world.clock.turn(100 * _HOUR_S)
    at_last = replace(QUIET, appended=(EventId("t1-3:1:001A"),), open_replay_id=ReplayId(b"3"))

    assert await world.run(at_last) == []
    assert [each.key for each in world.log.events] == ["001B"]


async def test_refused_id_that_was_retained_is_judged_again_by_the_answer() -> None:
    """Days can pass between the refusal and the first answer of what is retained."""
    world = World()
    world.source.refuses = True
    world.source.late_s = 80 * _HOUR_S
    aged = replace(QUIET, replay_id=ReplayId(b"5"), positioned_at=T0 - 72 * _HOUR_S)
    [hole] = await world.run(aged)

    assert (hole.cause, hole.state) == (HoleCause.REPLAY_ID_REFUSED, Repair.OPEN)
    assert hole.until == T0 + 8 * _HOUR_S


@pytest.mark.parametrize("repeat", [False, True])
async def test_order_further_back_is_judged_again_by_the_answer(*, repeat: bool) -> None:
    """Events retained when it was carried out can be forgotten when Salesforce answers."""
    world = World()
    world.source.late_s = 80 * _HOUR_S
    order = PositionOrder(
        id="position:1", channel=CHANGES.path, place=ChannelPosition.EARLIEST, repeat=repeat, by="ada", at=T0
    )
    [hole] = await world.run(QUIET, order)

    assert (hole.cause, hole.state, hole.until) == (HoleCause.POSITION_SET, Repair.OPEN, T0 + 8 * _HOUR_S)


async def test_order_of_a_time_that_is_forgotten_is_a_hole_behind_it() -> None:
    """The operator skips what was committed before, and nobody what came after."""
    world = World()
    await world.clock.turn(200 * _HOUR_S)
    since = T0 + 100 * _HOUR_S
    order = PositionOrder(
        id="position:1", channel=CHANGES.path, place=ChannelPosition.SINCE, since=since, by="ada", at=T0
    )
    skipped, forgotten = await world.run(QUIET, order)

    assert (skipped.state, skipped.until) == (Repair.NONE, since)
    assert (forgotten.cause, forgotten.state) == (HoleCause.BEFORE_RETENTION, Repair.OPEN)
    assert (forgotten.verified_at, forgotten.until) == (since, T0 + 128 * _HOUR_S)


@pytest.mark.parametrize("replay_id", [None, ReplayId(b"7")])
async def test_channel_that_could_read_nothing_has_a_hole_from_its_beginning(
    replay_id: ReplayId | None,
) -> None:
    """No time is known of it, so all that had been retained can be missing."""
    world = World()
    piece = Unreadable(raw=b"{", error="no JSON", replay_id=replay_id)
    answer = replace(batch(at=T0), unreadable=[piece])
    await Ingest(
        source=MemorySource({CHANGES.path: [answer]}),
        log=ChannelLog(
            channel=CHANGES,
            log=world.log,
            clock=world.clock,
            observer=Metrics(clock=world.clock).channel(CHANGES),
        ),
        messages=MessageReader(
            channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=world.clock)
        ),
        positioning=Positioning(channel=CHANGES, clock=world.clock),
    ).run()
    await world.clock.turn(100 * _HOUR_S)
    [hole] = await world.run(None)

    assert (hole.state, hole.verified_at) == (Repair.OPEN, T0 - 72 * _HOUR_S)
