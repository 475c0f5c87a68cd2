"""Notice of a client that has lost its brokers."""

import logging
from collections.abc import Callable

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from streamer.clock import TurnedClock
from streamer.log.kafka.cluster.broker_check import BrokerCheck, CheckedConsumer
from streamer.log.kafka.cluster.errors import kafka_error
from tests.waiting import block_until

_UP = {"source": "learned", "state": "UP"}
_FORGOTTEN: dict[str, str] = {"source": "logical", "state": "UP"}


def statistics(*brokers: dict[str, str]) -> str:
    """Return the part of librdkafka's statistics that describes brokers."""
    return orjson.dumps({"brokers": {str(number): each for number, each in enumerate(brokers)}}).decode()


def test_client_that_has_lost_its_brokers_is_to_be_replaced() -> None:
    """The coordinator's handle does not count: librdkafka keeps it after it has forgotten all brokers."""
    clock = TurnedClock()
    check = BrokerCheck(clock, "reader")

    check.note(statistics(_FORGOTTEN))
    clock.jump(9.9)
    check.note(statistics(_FORGOTTEN))
    check.check()
    clock.jump(0.2)
    check.note(statistics(_FORGOTTEN))

    with pytest.raises(KafkaException) as raised:
        check.check()
    assert kafka_error(raised.value).code() == KafkaError._ALL_BROKERS_DOWN


def test_client_that_finds_a_broker_again_is_kept() -> None:
    """Brokers restart; a client usually reconnects by itself."""
    clock = TurnedClock()
    check = BrokerCheck(clock, "reader")

    check.note(statistics({"source": "learned", "state": "DOWN"}))
    clock.jump(9.0)
    check.note(statistics(_FORGOTTEN, _UP))
    clock.jump(9.0)
    check.note(statistics())

    check.check()


def test_client_that_nobody_polls_is_not_judged() -> None:
    """While a full buffer keeps the reader from polling, silence is not bad news."""
    clock = TurnedClock()
    check = BrokerCheck(clock, "reader")

    check.note(statistics())
    clock.jump(3600.0)

    check.check()


def test_consumer_that_has_lost_its_brokers_fails_in_its_poll() -> None:
    """So no loop can forget to look."""
    clock = TurnedClock()
    check = BrokerCheck(clock, "reader")
    configuration = {"bootstrap.servers": "localhost:1", "group.id": "any", "log_level": 0}
    consumer = CheckedConsumer(configuration, check=check, logger=logging.getLogger("librdkafka"))

    try:
        assert consumer.poll(0) is None
        check.note(statistics())
        clock.jump(10.1)
        check.note(statistics())
        with pytest.raises(KafkaException):
            consumer.poll(0)
    finally:
        consumer.close()


def test_statistics_of_librdkafka_are_understood() -> None:
    """A real client without a broker is noticed."""
    clock = TurnedClock()
    check = BrokerCheck(clock, "reader")
    configuration = {"bootstrap.servers": "localhost:1", "group.id": "any", "log_level": 0}
    consumer = Consumer({**configuration, **check.configuration, "statistics.interval.ms": 10})

    try:
        _poll_until(consumer, lambda: _is_lost(check, clock))
    finally:
        consumer.close()


def _is_lost(check: BrokerCheck, clock: TurnedClock) -> bool:
    clock.jump(6.0)
    try:
        check.check()
    except KafkaException:
        return True
    return False


def _poll_until(consumer: Consumer, holds: Callable[[], bool]) -> None:
    def polled() -> bool:
        consumer.poll(0.05)
        return holds()

    # The client's statistics tell it.
    block_until(polled)
