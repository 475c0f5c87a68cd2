"""Records that the log's producer takes, and those that it refuses."""

import pytest
from confluent_kafka import Producer

from streamer.log.kafka.cluster.producer import ProducerRecord, RecordNotTaken, RecordProducer


@pytest.fixture
def producer() -> RecordProducer:
    """A producer that no broker will ever answer."""
    return RecordProducer(Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}))


def test_record_that_is_not_taken_is_named(producer: RecordProducer) -> None:
    """Those before it wait to be sent."""
    good = ProducerRecord(topic="t", value=b"v", key=b"k", partition=0, headers={"text": "plain"})
    bad = good._replace(headers={"text": "\ud800"})

    told: list[bytes | None] = []

    with pytest.raises(RecordNotTaken, match="not Unicode text") as raised:
        producer.produce([good, bad, good], 5, told=lambda _, message: told.append(message.value()))
    producer.live.purge()
    producer.live.flush(5)

    assert raised.value.record is bad
    assert told == [b"v"]
