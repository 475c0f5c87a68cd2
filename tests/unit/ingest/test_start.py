"""The start of a new channel, and the continuity record of events that it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.events import Batch, Channel, ContinuityRecord, HoleCause, OrgId, Repair, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.checkpoints import ChannelStart, Since
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.messages import CHANGES, batch, change

T0 = 1_735_689_600.0
"""Commit time of the change with replay id 0; each next one is a millisecond later."""
_HOUR_S = 3600.0


@dataclass
class World:
    """A channel without repairs, which starts 10 s behind T0."""

    start: ChannelStart
    channel: Channel = CHANGES
    batches: Sequence[Batch] = ()
    log: MemoryLog = field(default_factory=MemoryLog)

    async def run(self) -> None:
        """Read to the end, in a process of its own."""
        clock = TurnedClock(T0 + 10)
        await Ingest(
            source=MemorySource({self.channel.path: self.batches}),
            log=ChannelLog(
                channel=self.channel,
                log=self.log,
                clock=clock,
                observer=Metrics(clock=clock).channel(self.channel),
            ),
            messages=MessageReader(
                channel=self.channel,
                normalise=normaliser_for(self.channel),
                quarantine=Quarantine(clock=clock),
            ),
            positioning=Positioning(channel=self.channel, clock=clock, start=self.start),
        ).run()

    async def holes(self) -> Sequence[ContinuityRecord]:
        """Return the records of two runs."""
        self.batches = self.batches or [batch(at=T0 + 10)]
        await self.run()
        await self.run()
        return self.log.continuity


async def test_start_since_a_time_takes_the_events_that_were_committed_then_or_later() -> None:
    """To the millisecond, since both times are of Salesforce's clock."""
    changes = [change(number, f"00{number}") for number in range(1, 5)]
    world = World(Since(at=T0 + 0.003), batches=[batch(*changes)])
    await world.run()

    assert [each.key for each in world.log.events] == ["003", "004"]


@pytest.mark.parametrize(
    ("path", "hours", "missing"),
    [
        ("/data/ChangeEvents", 71.9, 0),
        ("/data/ChangeEvents", 72, 1),
        ("/event/Order_Placed__e", 100, 1),
        ("/topic/OpenInvoices", 23.9, 0),
        ("/topic/OpenInvoices", 25, 1),
    ],
)
async def test_start_before_the_retention_is_a_hole(path: str, hours: float, missing: int) -> None:
    """It is recorded once, with the first checkpoint."""
    channel = Channel(org=OrgId("00D000000000001EAA"), path=path)
    since = T0 - hours * _HOUR_S
    holes = await World(
        Since(at=since), channel, [Batch(channel=channel, read_at=T0 + 10, messages=())]
    ).holes()

    assert [(each.cause, each.state, each.verified_at, each.until) for each in holes] == (
        [(HoleCause.BEFORE_RETENTION, Repair.NONE, since, T0 + 10 - channel.retention_s)] * missing
    )


async def test_start_before_the_retention_counts_from_the_first_answer() -> None:
    """Salesforce can have been away for hours."""
    world = World(Since(at=T0 - 71 * _HOUR_S), batches=[batch(at=T0 + 2 * _HOUR_S)])

    assert len(await world.holes()) == 1


async def test_start_with_a_snapshot_records_it_with_the_first_checkpoint() -> None:
    """Another process continues that one, and begins no other."""
    [snapshot] = await World("snapshot").holes()

    assert (snapshot.cause, snapshot.entity, snapshot.recorded_at) == (HoleCause.SNAPSHOT, None, T0 + 10)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (Start.LATEST, "latest"),
        ("snapshot", "snapshot"),
        (Since(at=T0), "since 2025-01-01T00:00:00+00:00"),
    ],
)
async def test_start_is_told(start: ChannelStart, told: str) -> None:
    """As the configuration has it."""
    with capture_logs() as lines:
        await World(start).run()

    assert [line["at"] for line in lines if line["event"] == "channel.positioned"] == [told]
