"""A log that refuses an append without naming an event stops the channel, not the daemon."""

import pytest

from streamer.clock import TurnedClock
from streamer.errors import EventsRefused, LogMisconfigured
from streamer.events import Checkpoint, Event, ReplayId
from streamer.ingest.read_batch import ReadBatch
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import GrowingAppend
from streamer.log.memory import MemoryFaults, MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from tests.messages import CHANGES, change, events_of

CHECKPOINT = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"\x01"), verified_at=1.0)


def refuse_without_names(_: Event) -> bool:
    """Refuse an append for a record that is not an event."""
    raise EventsRefused("a record of 20 MB is too large", events=())


async def test_refusal_that_names_no_event_is_for_an_operator() -> None:
    """Nothing can be set aside, so the channel stops with the log's reason, and the others go on."""
    log, clock = MemoryLog(faults=MemoryFaults(refuse=refuse_without_names)), TurnedClock()
    growing = GrowingAppend(
        append=log.begin(CHANGES),
        quarantine=Quarantine(clock=clock),
        observer=Metrics(clock=clock).channel(CHANGES),
    )
    growing.add(ReadBatch(events=events_of(normaliser_for(CHANGES), change(1))), read_at=1.0)

    with pytest.raises(LogMisconfigured, match="a record of 20 MB is too large"):
        await growing.commit(CHECKPOINT)

    assert not log.events
