"""A producer that can be left behind in the middle of a call."""

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streamer.log.kafka.cluster.producer import DisposableProducer, RecordNotTaken
from streamer.log.kafka.cluster.record import Record


@pytest.fixture
def expendable() -> DisposableProducer:
    """A producer that no broker will ever answer."""
    return DisposableProducer(Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}))


def test_call_that_does_not_end_is_left_behind_with_its_producer(expendable: DisposableProducer) -> None:
    """Whoever made it goes on, and makes another producer."""
    release = threading.Event()

    def hang(_: Producer) -> None:
        release.wait()

    with pytest.raises(KafkaException) as raised:
        expendable.call(hang, timeout_s=0.05)
    with pytest.raises(RuntimeError, match="discarded"):
        _ = expendable.live
    expendable.discard()
    release.set()

    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_call_gets_the_producer_and_its_arguments(expendable: DisposableProducer) -> None:
    """And what it raises is raised where it was asked for."""
    got: list[Any] = []

    def fail(producer: Producer, *arguments: object) -> None:
        got.extend([producer, *arguments])
        raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))

    with pytest.raises(KafkaException) as raised:
        expendable.call(fail, 1, "two", timeout_s=5)

    assert got == [expendable.live, 1, "two"]
    assert raised.value.args[0].code() == KafkaError.ILLEGAL_GENERATION


def test_record_that_is_not_taken_is_named(expendable: DisposableProducer) -> None:
    """Those before it wait to be sent."""
    good = Record(topic="t", value=b"v", key=b"k", partition=0, headers={"text": "plain"})
    bad = good._replace(headers={"text": "\ud800"})

    told: list[bytes | None] = []

    with pytest.raises(RecordNotTaken, match="not Unicode text") as raised:
        expendable.produce([good, bad, good], 5, told=lambda _, message: told.append(message.value()))
    expendable.live.purge()
    expendable.live.flush(5)

    assert raised.value.record is bad
    assert told == [b"v"]
