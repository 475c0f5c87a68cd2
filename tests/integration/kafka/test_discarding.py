"""A producer is discarded in the middle of its work, while its broker is frozen."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from streamer.log.kafka.cluster.transactions import Transactions
from tests.integration.kafka.discarding_process import RECORDS, connected
from tests.integration.kafka.topics import make_topic, own_settings
from tools.kafka.broker import Broker

_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that this file alone uses and can freeze."""
    with Broker() as broker:
        make_topic(broker.bootstrap, "t")
        yield broker


@contextmanager
def frozen(broker: Broker) -> Iterator[None]:
    """Let a broker stand still inside the context."""
    broker.freeze()
    try:
        yield
    finally:
        broker.thaw()


@pytest.fixture
def transactions(broker: Broker) -> Iterator[Transactions]:
    """A producer that has its id, at a broker that froze then."""
    transactions = connected(own_settings(broker.bootstrap))
    with frozen(broker):
        yield transactions


@pytest.fixture
def process(broker: Broker) -> Iterator["subprocess.Popen[str]"]:
    """A process that has nothing of Kafka but a producer: threads of other clients come and go in ours."""
    settings = own_settings(broker.bootstrap).model_dump_json(exclude_unset=True)
    command = [sys.executable, "-m", "tests.integration.kafka.discarding_process", settings]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_discarding_leaves_no_thread_though_the_broker_is_frozen_in_mid_transaction(
    broker: Broker, process: "subprocess.Popen[str]"
) -> None:
    """Nobody waits for the broker, and an error that is still looked at holds nothing back."""
    assert process.stdout
    while process.stdout.readline() not in {"begun\n", ""}:
        pass
    with frozen(broker):
        said, failed = process.communicate("\n", timeout=_WITHIN_S)

    assert process.returncode == 0, failed
    found = orjson.loads(said.splitlines()[-1])
    assert found.pop("before") > 0
    assert found == {"left": [], "discarding": [], "error_is_kept": True}


def test_discarded_producer_is_never_used_again(transactions: Transactions) -> None:
    """Every use raises at once; discarding it once more does no harm."""
    transactions.discard()

    with pytest.raises(RuntimeError, match="discarded"):
        transactions.write([RECORDS[:1]], time.monotonic() + 10)
    transactions.discard()
