"""Transactions whose brokers do not answer, and what their producers are told."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamer.clock import TurnedClock
from streamer.librdkafka.producer import ProducerDiscarded
from streamer.log.kafka.cluster import transactions as module
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import ProducerRecord, content
from streamer.log.kafka.cluster.transactions import NothingWritten, Transactions, Undecided
from streamer.settings import KafkaLogSettings

SETTINGS = KafkaLogSettings(bootstrap_servers="127.0.0.1:1")
FIRST = ProducerRecord(topic="t", value=b"1", key=b"first", partition=0, headers={})
SECOND = FIRST._replace(value=b"2", key=b"second")
LATE = KafkaError(KafkaError._TIMED_OUT, "late", False, True, False)


def of_no_broker() -> Transactions:
    """Return transactions that no broker will ever answer."""
    return Transactions(Clients(settings=SETTINGS), KafkaErrors(SETTINGS), {"transactional.id": "id"})


def code(raised: pytest.ExceptionInfo[KafkaException]) -> int:
    """Return what was raised, as Kafka numbers it."""
    error: KafkaError = raised.value.args[0]
    return error.code()


def test_waiting_ends_with_the_time_that_was_given() -> None:
    """Which is longer than a single call waits."""
    began = time.monotonic()
    with pytest.raises(KafkaException) as raised:
        of_no_broker().begin(0.7)

    assert code(raised) == KafkaError._TIMED_OUT
    assert time.monotonic() - began >= 0.7


@dataclass
class ScriptedBroker:
    """Twin of a broker: notes the calls of producers, and fails a step once with its error in `errors`."""

    calls: list[str] = field(default_factory=list)
    errors: dict[str, KafkaError] = field(default_factory=dict)
    refused: KafkaError | None = None
    log: list[bytes] = field(default_factory=list)

    def step(self, name: str) -> None:
        """Note a call, or fail it."""
        self.calls.append(name)
        if (error := self.errors.pop(name, None)) is not None:
            raise KafkaException(error)

    def count(self, name: str) -> int:
        """Return how often a call was made."""
        return self.calls.count(name)


class ScriptedProducer:
    """Twin of a transactional producer."""

    def __init__(self, broker: ScriptedBroker, told: Callable[[KafkaError | None, Any], None]) -> None:
        """Be the next producer of `broker`; `told` gets the reports."""
        self._broker = broker
        self._told = told
        self._waiting: list[Report] = []

    def init_transactions(self, _: float) -> None:
        """Fence others."""
        self._broker.step("init")

    def begin_transaction(self) -> None:
        """Begin."""
        self._broker.step("begin")

    def produce(self, topic: str, value: bytes, key: bytes, *_: Any, **__: Any) -> None:
        """Take a record."""
        self._broker.step("produce")
        self._waiting.append(Report(topic, key, value, len(self._broker.log) + len(self._waiting)))

    def send_offsets_to_transaction(self, *_: Any) -> None:
        """Take the offsets."""
        self._broker.step("offsets")

    def commit_transaction(self, _: float) -> None:
        """Report all records, then commit."""
        for report in self._waiting:
            self._told(self._broker.refused, report)
        self._broker.step("commit")
        self._broker.log += [report.value() for report in self._waiting]
        self._waiting = []

    def abort_transaction(self, _: float) -> None:
        """Abort, and report the records that were never sent."""
        self._broker.step("abort")
        for report in self._waiting:
            self._told(KafkaError(KafkaError._PURGE_QUEUE), report)
        self._waiting = []

    def flush(self, _: float) -> int:
        """Send what was taken."""
        self._broker.step("flush")
        return 0

    def poll(self, _: float) -> int:
        """Have nothing to say."""
        return 0

    def purge(self, **_: Any) -> None:
        """Forget what was taken."""
        self._waiting = []


class Report(NamedTuple):
    """Twin of a delivery report."""

    topic_: str
    key_: bytes
    value_: bytes
    offset_: int

    def topic(self) -> str:
        """Return the topic."""
        return self.topic_

    def key(self) -> bytes:
        """Return the key."""
        return self.key_

    def value(self) -> bytes:
        """Return the value."""
        return self.value_

    def offset(self) -> int:
        """Return the offset."""
        return self.offset_


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedClients(Clients):
    """Clients of a `ScriptedBroker`."""

    broker: ScriptedBroker

    def producer(self, _: KafkaErrors, configuration: Mapping[str, Any]) -> Any:
        """Return the next producer."""
        return ScriptedProducer(self.broker, configuration["on_delivery"])


@dataclass
class World:
    """Transactions that have begun at a scripted broker."""

    broker: ScriptedBroker
    clock: TurnedClock
    clients: ScriptedClients
    transactions: Transactions

    def write(self, *records: ProducerRecord) -> Mapping[bytes, int]:
        """Write each record in a batch of its own, with an offset."""
        batches = [[record] for record in records]
        deadline = self.clock.monotonic() + 10
        place = TopicPartition("source", 0, 7)
        return self.transactions.write(batches, deadline, offsets=[place], generation=b"g")

    def write_after_failure(self) -> None:
        """Begin again, and write a second record."""
        self.transactions.begin(10)
        self.write(SECOND)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A broker that takes everything."""
    monkeypatch.setattr(module, "Producer", ScriptedProducer)
    broker, clock = ScriptedBroker(), TurnedClock()
    clients = ScriptedClients(settings=SETTINGS, clock=clock, pause=clock.jump, broker=broker)
    transactions = Transactions(clients, KafkaErrors(SETTINGS), {}, noting="noted")
    transactions.begin(10)
    return World(broker, clock, clients, transactions)


def abortable(code: int) -> KafkaError:
    """Return an error after which librdkafka wants the transaction aborted."""
    return KafkaError(code, "abort", False, False, True)


def test_records_and_offsets_are_committed_together(world: World) -> None:
    """Each batch is sent before the next, and the offsets of noted records are returned."""
    assert world.write(FIRST, SECOND._replace(topic="noted")) == {b"second": 1}

    assert world.broker.calls == ["init", "begin", "produce", "flush", "produce", "offsets", "commit"]
    assert world.broker.log == [b"1", b"2"]
    assert world.write(FIRST) == {}
    assert world.clients.aborted.number == 0


@pytest.mark.parametrize("step", ["begin", "produce", "flush", "offsets"])
@pytest.mark.parametrize("error", [KafkaError(KafkaError._TIMED_OUT), abortable(KafkaError._FENCED)])
def test_failure_before_the_commit_writes_nothing(world: World, step: str, error: KafkaError) -> None:
    """The producer is dropped, so that none of its records can follow."""
    world.broker.errors[step] = error
    with pytest.raises(NothingWritten) as raised:
        world.write(FIRST, SECOND)
    assert raised.value.error.code() == error.code()
    with pytest.raises(ProducerDiscarded):
        world.write(FIRST)

    world.write_after_failure()
    assert world.broker.log == [b"2"]
    assert world.broker.count("init") == 2
    assert world.clients.aborted.number == (step != "begin")


def test_producer_that_only_the_group_refused_is_kept(world: World) -> None:
    """A rebalance refuses several transactions in turn, and a new producer takes ten answers of brokers."""
    world.broker.errors["offsets"] = abortable(KafkaError.ILLEGAL_GENERATION)
    with pytest.raises(NothingWritten):
        world.write(FIRST)

    # The reports of the aborted records must not fail the next commit while it waits.
    world.broker.errors["commit"] = LATE
    world.write_after_failure()
    assert world.broker.log == [b"2"]
    assert (world.broker.count("init"), world.broker.count("abort")) == (1, 1)
    assert world.clients.aborted.number == 1


def test_producer_whose_abort_fails_is_dropped(world: World) -> None:
    """Its transaction could still be open."""
    world.broker.errors["offsets"] = abortable(KafkaError.ILLEGAL_GENERATION)
    world.broker.errors["abort"] = KafkaError(KafkaError._TIMED_OUT)
    with pytest.raises(NothingWritten):
        world.write(FIRST)

    world.write_after_failure()
    assert world.broker.count("init") == 2


@pytest.mark.parametrize(
    "error", [KafkaError(KafkaError._TIMED_OUT), abortable(KafkaError.ILLEGAL_GENERATION)]
)
def test_failed_commit_is_undecided_until_the_next_producer(world: World, error: KafkaError) -> None:
    """It can have reached the broker, even where the error asks for an abort: so nothing is aborted."""
    world.broker.errors["commit"] = error
    with pytest.raises(Undecided) as raised:
        world.write(FIRST._replace(topic="noted"))
    assert raised.value.written == {b"first": 0}
    assert world.broker.count("abort") == 0
    assert world.clients.aborted.number == 1

    assert world.broker.count("init") == 1
    world.transactions.decide()
    world.transactions.decide()
    assert world.broker.count("init") == 2


def test_refused_record_is_named(world: World) -> None:
    """The commit says only that something failed; the record's own report has the reason."""
    world.broker.refused = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    world.broker.errors["commit"] = KafkaError(KafkaError._INCONSISTENT)
    with pytest.raises(Undecided) as raised:
        world.write(FIRST)

    assert raised.value.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert list(raised.value.refused) == [content(FIRST)]
    # Quicker than leaving it to the next producer.
    assert world.broker.count("abort") == 1
    world.broker.refused = None
    world.write_after_failure()
    assert world.broker.log == [b"2"]


def test_record_that_the_client_refuses_is_named(world: World) -> None:
    """It never comes to a broker."""
    world.broker.errors["produce"] = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(NothingWritten) as raised:
        world.write(FIRST, SECOND)

    assert list(raised.value.refused) == [content(FIRST)]


def test_beginning_goes_on_where_it_timed_out(world: World) -> None:
    """For ten seconds in all; then another producer begins."""
    world.transactions.discard()
    producers = set()
    for after_s in (4, 4, 4):
        world.broker.errors["init"] = LATE
        with pytest.raises(KafkaException):
            world.transactions.begin(-1)
        producers.add(world.transactions._producer)
        world.clock.jump(after_s)
    assert None not in producers
    assert len(producers) == 1

    world.broker.errors["init"] = LATE
    with pytest.raises(KafkaException):
        world.transactions.begin(-1)
    assert world.transactions._producer is None
