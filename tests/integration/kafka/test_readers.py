"""Third parties' libraries read the records that we wrote to Kafka."""

from typing import Literal

import pytest
from aiokafka.partitioner import DefaultPartitioner
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from streamer.clock import SystemClock
from streamer.events import EventId
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from tests.contracts.values import an_append, an_event, append_to
from tests.integration.kafka.topics import own_settings, read_committed


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_asyncio_service_reads_cloudevents(kafka: str, mode: Literal["binary", "structured"]) -> None:
    """A plain aiokafka reads our topics, and the `cloudevents` package understands them."""
    settings = own_settings(kafka, content_mode=mode)
    event = an_event("e1", key="001A")
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(event))

    (record,) = await read_committed(kafka, Names.of(settings).event_topic(event.type))

    found = from_kafka_event(
        KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value or b"")
    )
    assert found.get_id() == "e1"
    assert found.get_type() == event.type
    assert found.get_subject() == "001A"
    assert found.get_data() == event.data


async def test_keys_are_placed_as_other_clients_place_them(kafka: str) -> None:
    """A topic of a Java client, or of aiokafka, can be joined with ours partition by partition."""
    settings = own_settings(kafka, partitions=7)
    events = [an_event(n, key=f"001{n:05d}AAA") for n in range(50)]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(*events))

    records = await read_committed(kafka, Names.of(settings).event_topic(events[0].type))

    every, place = list(range(7)), DefaultPartitioner()
    assert {record.key: record.partition for record in records} == {
        event.key.encode(): place(event.key.encode(), every, every) for event in events
    }
    assert len({record.partition for record in records}) == 7


async def test_events_of_a_key_stay_in_order(kafka: str) -> None:
    """However large an append is, a reader finds each record's changes in their order."""
    settings = own_settings(kafka)
    ids = [EventId(f"{n}") for n in range(3_000)]
    events = [an_event(id_, key=f"001{int(id_) % 10}") for id_ in ids]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(*events))

    records = await read_committed(kafka, Names.of(settings).event_topic(events[0].type))

    seen = [dict(record.headers)["ce_id"].decode() for record in records]
    for last_digit in "0123456789":
        assert [id_ for id_ in seen if id_.endswith(last_digit)] == ids[int(last_digit) :: 10]
