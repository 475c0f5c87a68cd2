"""A checkpoint without a position causes a hole when the retention has passed, on every log."""

from streamer.clock import TurnedClock
from streamer.events import Batch, HoleCause, Repair
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.contracts.values import CHANGES
from tests.contracts.worlds import Log, World

T0 = 1_735_689_600.0
_HOUR_S = 3600.0


async def read(log: Log, *, at: float) -> None:
    """Read one quiet answer `at` a time, in a process of its own."""
    clock = TurnedClock(at)
    quiet = Batch(channel=CHANGES, read_at=at)
    await Ingest(
        source=MemorySource({CHANGES.path: [quiet]}),
        log=ChannelLog(channel=CHANGES, log=log, clock=clock, observer=Metrics(clock=clock).channel(CHANGES)),
        messages=MessageReader(
            channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=clock)
        ),
        positioning=Positioning(channel=CHANGES, clock=clock),
    ).run()


async def test_quiet_channel_that_comes_back_too_late_has_a_hole(world: World) -> None:
    """It is in the log together with the new position, once."""
    for at in (T0, T0 + 71 * _HOUR_S, T0 + 167 * _HOUR_S, T0 + 168 * _HOUR_S):
        async with world.open() as log:
            await read(log, at=at)
            checkpoint = await log.checkpoint(CHANGES)
            assert checkpoint is not None
            assert (checkpoint.replay_id, checkpoint.verified_at) == (None, at)
            told = list(await world.continuity())

    [hole] = told
    assert (hole.cause, hole.state) == (HoleCause.PLACE_LOST, Repair.NONE)
    assert (hole.verified_at, hole.until) == (T0 + 71 * _HOUR_S - 60, T0 + 95 * _HOUR_S)
