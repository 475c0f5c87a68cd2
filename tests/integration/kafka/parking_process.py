"""A process that parks the events it reads, reports it and waits for its end.

`python -m tests.integration.kafka.parking_process SETTINGS COUNT`, where SETTINGS
is the log's settings as JSON; the lane of event `n` has failed `n` times.
"""

import asyncio
import sys

from streamer.clock import SystemClock
from streamer.events import Entry, Setback
from streamer.log.kafka.log import KafkaLog
from streamer.ports import LaneChange
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import following


def setback(number: int) -> Setback:
    """Return the setback of the event `number`."""
    return Setback(
        attempts=number, first_failed_at=1.5, due_at=1e10 + number, first_error="first", last_error="last"
    )


def parked(entry: Entry) -> LaneChange:
    """Return the change that parks `entry` in a lane of its own."""
    return LaneChange(
        partition=entry.partition,
        lane=entry.event.key,
        setback=setback(int(entry.event.id)),
        joined=[entry],
    )


async def park(settings: KafkaLogSettings, count: int) -> None:
    """Park so many events, and wait."""
    async with KafkaLog.open(settings, SystemClock()) as log, following(log) as follower:
        await follower.read_until(*map(str, range(count)))
        await follower.settle(lanes=[parked(entry) for entry in follower.entries])
        sys.stdout.write("parked\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(park(KafkaLogSettings.model_validate_json(sys.argv[1]), int(sys.argv[2])))
