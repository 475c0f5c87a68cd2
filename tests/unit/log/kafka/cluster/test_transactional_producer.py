"""A producer of transactions whose brokers do not answer."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import TransactionalProducer
from streamer.settings import KafkaLogSettings


def a_producer(failed: Callable[[], KafkaError | None] = lambda: None) -> TransactionalProducer:
    """Return a producer that no broker will ever answer."""
    settings = KafkaLogSettings(bootstrap_servers="127.0.0.1:1")
    return TransactionalProducer(
        Clients(settings=settings), KafkaErrors(settings), {"transactional.id": "id"}, failed=failed
    )


def code(raised: pytest.ExceptionInfo[KafkaException]) -> int:
    """Return what was raised, as Kafka numbers it."""
    error: KafkaError = raised.value.args[0]
    return error.code()


def test_waiting_ends_with_the_time_that_was_given() -> None:
    """Which is longer than a single call waits."""
    began = time.monotonic()
    with pytest.raises(KafkaException) as raised:
        a_producer().init(0.7)

    assert code(raised) == KafkaError._TIMED_OUT
    assert time.monotonic() - began >= 0.7


def test_waiting_ends_when_a_record_was_refused() -> None:
    """The other records are never sent then, so a commit would wait for them in vain."""
    producer = a_producer(lambda: KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))

    with pytest.raises(KafkaException) as raised:
        producer._insist(Producer.init_transactions, 60)

    assert code(raised) == KafkaError.MSG_SIZE_TOO_LARGE
