"""A producer is thrown away in the middle of its work, while its broker is frozen."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from streamer.clock import SystemClock
from streamer.log.kafka.append.transactions import Transactions
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.record import Record
from tests.integration.kafka.topics import make_topic, own_settings
from tools.kafka.broker import Broker

_LIMIT_S = 8.0
_RECORDS = [Record(topic="t", value=b"x" * 500, key=b"k", partition=0, headers={})] * 5_000


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that this file alone uses and can freeze."""
    with Broker() as broker:
        make_topic(broker.bootstrap, "t")
        yield broker


@pytest.fixture
def native_threads() -> frozenset[str]:
    """The native threads of other clients in this process."""
    return _native_threads()


@pytest.fixture
def transactions(broker: Broker, native_threads: frozenset[str]) -> Iterator[Transactions]:
    """A producer that has its id, at a broker that froze afterwards."""
    settings = own_settings(broker.bootstrap)
    transactions = Transactions(Clients(settings=settings), "id", KafkaErrors(settings), SystemClock())
    transactions.begin(time.monotonic() + 60)
    assert _native_threads() - native_threads
    broker.freeze()
    yield transactions
    broker.thaw()


def _native_threads() -> frozenset[str]:
    """Return librdkafka's threads by number and name; other threads of this process come and go."""
    tasks = [f"{task.name} {_name(task)}" for task in Path("/proc/self/task").iterdir()]
    return frozenset(task for task in tasks if "rdk:" in task)


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text(encoding="utf-8").strip()
    except OSError:
        # It has ended since.
        return ""


def _fails_to_write(transactions: Transactions) -> KafkaException:
    with pytest.raises(KafkaException) as raised:
        transactions.write(_RECORDS, time.monotonic() + 0.3)
    return raised.value


def test_discarding_leaves_no_thread_though_the_broker_is_frozen_in_mid_transaction(
    transactions: Transactions, native_threads: frozenset[str]
) -> None:
    """No caller waits for the broker, and a kept error holds nothing back."""
    error = _fails_to_write(transactions)

    began = time.monotonic()
    transactions.discard()

    # A thread that has ended may be listed a moment longer.
    while left := _native_threads() - native_threads:
        assert time.monotonic() - began < _LIMIT_S, left
        time.sleep(0.01)
    assert time.monotonic() - began < _LIMIT_S
    assert all(thread.name != "kafka-discard" for thread in threading.enumerate())
    assert error.__traceback__ is not None


def test_discarded_producer_is_never_used_again(transactions: Transactions) -> None:
    """Every use raises at once; discarding it once more does no harm."""
    transactions.discard()

    with pytest.raises(RuntimeError, match="discarded"):
        transactions.write(_RECORDS[:1], time.monotonic() + 10)
    transactions.discard()
