"""Settled events read from a log file."""

from datetime import UTC, datetime

from streamer.events import Entry, SubscriberName
from streamer.log.sqlite import SqliteLog
from streamer.log.sqlite.rows.offsets import PARTITION
from streamer.ports import Subscription
from tests.contracts.follower import following
from tests.contracts.parking import joining
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.statements import traced


async def finished(log: SqliteLog) -> list[Entry]:
    """Return all settled events of the target."""
    subscription = Subscription(subscriber=SubscriberName("target"), patterns=("salesforce.*",))
    return [entry async for entry in log.settled_events(subscription, {PARTITION: 0})]


async def test_reading_goes_page_by_page_and_leaves_the_writer_alone(log_file: LogFile) -> None:
    """Feeds are read in between, and no append waits."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(*(an_event(n) for n in range(1_200))))
        await follower.read_until("1199")
        await follower.settle(lanes=[joining(follower.entries[7])])
        writing, reading = await traced(log._writer), await traced(log._reader)
        found = await finished(log)

    assert found == [entry for entry in follower.entries if entry.offset != follower.entries[7].offset]
    # Statement that asked for the trace.
    assert {*writing} <= {"BEGIN IMMEDIATE", "COMMIT"}
    assert len([each for each in reading if "FROM events" in each and "GLOB" in each]) == 3


async def test_event_before_the_moment_at_which_a_subscriber_began_is_not_finished(log_file: LogFile) -> None:
    """It was never the subscriber's."""
    start = datetime(2025, 1, 2, tzinfo=UTC)
    async with log_file.open() as log:
        await append_to(
            log,
            an_append(
                an_event("old", time="2025-01-01T00:00:00.000Z"),
                an_event("new", time="2025-01-03T00:00:00.000Z"),
            ),
        )
        async with following(log, start=start) as follower:
            await follower.read_until("new")
            await follower.settle()

            assert [entry.event.id for entry in await finished(log)] == ["new"]
