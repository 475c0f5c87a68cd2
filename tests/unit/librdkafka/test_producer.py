"""A producer that can be discarded in the middle of a call, or with a full queue."""

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streamer.librdkafka.producer import DisposableProducer, ProducerDiscarded

_NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


@pytest.fixture
def expendable() -> DisposableProducer:
    """A producer that no broker will ever answer."""
    return DisposableProducer(Producer(_NOWHERE))


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


def test_reports_are_served_while_room_is_awaited(expendable: DisposableProducer) -> None:
    """They make room."""
    told: list[KafkaError | None] = []
    expendable.live.produce("t", b"v", on_delivery=lambda error, _: told.append(error))
    expendable.live.purge()

    expendable.wait_for_room()
    assert [error.code() for error in told if error] == [KafkaError._PURGE_QUEUE]


def test_discarded_producer_takes_nothing_more(expendable: DisposableProducer) -> None:
    """Discarding it once more does no harm."""
    expendable.discard()
    expendable.discard()

    with pytest.raises(ProducerDiscarded):
        _ = expendable.live
