"""Records that the log's producers accept, and records that they refuse."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from streamer.clock import TurnedClock
from streamer.librdkafka.producer import DisposableProducer
from streamer.log.kafka.cluster.producer import ProducerRecord, RecordNotTaken, enqueue

RECORD = ProducerRecord(topic="t", value=b"v", key=b"k", partition=0, headers={"text": "plain"})


def producer(told: Callable[[KafkaError | None, Message], Any], **options: Any) -> DisposableProducer:
    """Return a producer that no broker will ever answer."""
    configuration = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "on_delivery": told}
    return DisposableProducer(Producer(configuration | options))


def test_record_that_is_not_taken_is_named() -> None:
    """Those before it wait to be sent."""
    bad = RECORD._replace(headers={"text": "\ud800"})
    told: list[bytes | None] = []
    taking = producer(lambda _, message: told.append(message.value()))

    with pytest.raises(RecordNotTaken, match="a text of the record is not valid Unicode") as raised:
        enqueue(taking, [RECORD, bad, RECORD], TurnedClock(), 5)
    taking.live.purge()
    taking.live.flush(5)

    assert raised.value.record is bad
    assert told == [b"v"]


def test_full_queue_is_waited_for_until_the_deadline() -> None:
    """The clock is asked each time, and the record without room is named."""

    class Late(TurnedClock):
        def monotonic(self) -> float:
            self.jump(1.0)
            return super().monotonic()

    clock = Late()
    taking = producer(lambda *_: None, **{"queue.buffering.max.messages": 1})
    second = RECORD._replace(key=b"second")

    with pytest.raises(RecordNotTaken) as raised:
        enqueue(taking, [RECORD, second], clock, clock.monotonic() + 3)

    assert raised.value.record is second
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT
