"""A topic whose beginning the brokers have deleted says where it begins."""

import time
from datetime import UTC, datetime

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streamer.clock import SystemClock
from streamer.events import Partition
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.normalise.malformed import as_event_time
from streamer.settings import KafkaLogSettings
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.waiting import LIMIT_S


async def test_topic_whose_beginning_was_deleted_says_where_it_begins(kafka: str) -> None:
    """By the time of the first record that is left, in the partition that was cut."""
    now = SystemClock().now()
    name = f"cut{time.time_ns()}"
    settings = KafkaLogSettings(
        bootstrap_servers=kafka, prefix=name, topic=f"{name}.{{kind}}.{{name}}", partitions=2
    )
    topic = f"{name}.cdc.Account"
    times = [now - hours * 3_600 for hours in (5, 4, 3, 2)]
    events = [
        an_event(str(at), key="one", time=as_event_time(datetime.fromtimestamp(at, UTC))) for at in times
    ]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        for number, event in enumerate(events):
            await append_to(log, an_append(event, at=number))
    async with KafkaHistory.open(settings) as history:
        whole = await history.start("Account", now - 4.5 * 3_600)
        # A marker of a transaction has the time of writing, and can come first.
        [place] = [each for each, offset in whole.offsets.items() if offset]
        assert whole.begins_at is None
        admin = AdminClient({"bootstrap.servers": kafka})
        cut = TopicPartition(topic, place.number, whole.offsets[place] + 1)
        admin.delete_records([cut])[TopicPartition(topic, place.number)].result(LIMIT_S)
        start = await history.start("Account", now - 6 * 3_600)
        assert start.offsets == {
            Partition(topic=topic, number=each): max(0, cut.offset * (each == place.number))
            for each in (0, 1)
        }
        assert start.begins_at is not None
        assert abs(start.begins_at - times[1]) < 1
        assert (await history.start("Account", now - 2.5 * 3_600)).begins_at is None
        pages = [page async for page in history.changes("Account", start)]
        assert [event.id for page in pages for event in page.events] == [event.id for event in events[1:]]
