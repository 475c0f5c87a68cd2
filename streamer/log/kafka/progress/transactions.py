"""Transactions that carry the offsets of a consumer group."""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import DisposableProducer
from streamer.log.kafka.cluster.record import Record, Tombstone

_DEADLINE_S = 10.0
_CALL_TIMEOUT_S = 5.0
_OVERRUN_S = 2.0
_ABORT_S = 3.0
_LOOK_S = 0.5
# A process that dies in mid-transaction holds up its partitions' next owner for this long.
_TRANSACTION_TIMEOUT_MS = 10_000
# In a rebalance there are several in turn, and a new producer takes ten answers of brokers.
_GROUP_REFUSES = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID}
)


class NothingWritten(Exception):
    """A transaction failed, and nothing of it is or will ever be in the log."""

    def __init__(self, error: KafkaError) -> None:
        """Keep what Kafka said."""
        super().__init__(error.str())
        self.error = error


class Undecided(Exception):
    """A transaction may take effect, or not: `GroupTransactions.decide` makes it certain.

    `written` is where its records are if it does, as far as brokers said.
    """

    def __init__(self, error: KafkaError, written: Mapping[bytes, int]) -> None:
        """Keep what Kafka said."""
        super().__init__(error.str())
        self.error = error
        self.written = written


class GroupTransactions:
    """Writes records and a group's offsets together, or neither. Blocking, for one thread.

    A member that is no longer in the group is refused by the broker.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName, errors: KafkaErrors) -> None:
        """Make no producer before something is to be written."""
        self._clients = clients
        # The group's metadata in the transaction do the fencing: a generation
        # that has passed can't commit. The id has only to be nobody else's,
        # since one shared by all processes of a subscriber would let them
        # fence each other, and to stay the same for this one, since a new
        # producer then ends the transaction that a former one left open.
        group = Names.of(clients.settings).dispatch_group(subscriber)
        self._transactional_id = f"{group}.{uuid.uuid4().hex}"
        self._known_topic = Names.of(clients.settings).dead_letters
        self._errors = errors
        self._producer: DisposableProducer | None = None
        self._is_ready = False
        self._ready_by = 0.0
        self._is_open = False

    def write(
        self,
        records: Sequence[Record | Tombstone],
        places: Sequence[TopicPartition],
        generation: Any,
        *,
        noting: str = "",
    ) -> Mapping[bytes, int]:
        """Commit `records` and the offsets `places`; return where those of the topic `noting` are, by key.

        Raises `NothingWritten` and `Undecided`.
        """
        noted: dict[bytes, int] = {}
        try:
            deadline = time.monotonic() + _DEADLINE_S
            producer = self._ready(_CALL_TIMEOUT_S, deadline)
            producer.live.begin_transaction()
            for record in records:
                is_noted = record.topic == noting and isinstance(record, Record)
                producer.produce(record, partial(_note, noted) if is_noted else None, deadline=deadline)
            if places:
                _insist(partial(_send_offsets, producer, list(places), generation), deadline)
        except KafkaException as exc:
            self._undo(kafka_error(exc))
            raise NothingWritten(kafka_error(exc)) from exc
        try:
            _insist(lambda: producer.live.commit_transaction(_CALL_TIMEOUT_S), time.monotonic() + _DEADLINE_S)
        except KafkaException as exc:
            # Also where it calls for an abort: the broker may have heard of the commit.
            _serve(producer)
            self.close()
            self._is_open = True
            raise Undecided(kafka_error(exc), noted) from exc
        _serve(producer)
        return noted

    def decide(self) -> None:
        """See to it that it is decided whether the last transaction took effect.

        Tries for a moment, and goes on with it when called again. Raises `KafkaException`.
        """
        if self._is_open:
            self._ready(_LOOK_S, time.monotonic())

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _undo(self, error: KafkaError) -> None:
        """End a transaction that failed before its commit, and its producer unless only the group refused."""
        is_ended = False
        if error.txn_requires_abort() and self._producer is not None:
            # Quicker than leaving it to the next one, which begins by ending what this one left.
            with contextlib.suppress(KafkaException):
                self._producer.live.abort_transaction(_ABORT_S)
                is_ended = True
        if not is_ended or error.code() not in _GROUP_REFUSES:
            self.close()

    def _ready(self, timeout_s: float, deadline: float) -> DisposableProducer:
        """Return the producer, once what a former one left open is decided."""
        producer = self._producer or self._new_producer()
        if not self._is_ready:
            try:
                _insist(lambda: producer.live.init_transactions(timeout_s), deadline)
            except KafkaException as exc:
                if not kafka_error(exc).retriable() or time.monotonic() > self._ready_by:
                    self.close()
                raise
            self._is_ready, self._is_open = True, False
        return producer

    def _new_producer(self) -> DisposableProducer:
        producer = self._producer = DisposableProducer(
            self._clients.producer(
                self._errors,
                {
                    "transactional.id": self._transactional_id,
                    "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                },
            )
        )
        self._is_ready, self._ready_by = False, time.monotonic() + _DEADLINE_S
        producer.connect(self._known_topic, _LOOK_S)
        return producer


def _send_offsets(producer: DisposableProducer, places: list[TopicPartition], generation: Any) -> None:
    # It waits without end for a group's coordinator that it can't reach.
    producer.call(
        Producer.send_offsets_to_transaction,
        places,
        generation,
        _CALL_TIMEOUT_S,
        timeout_s=_CALL_TIMEOUT_S + _OVERRUN_S,
    )


def _serve(producer: DisposableProducer) -> None:
    """Hear what the background threads have to say."""
    # It raises what is fatal once more.
    with contextlib.suppress(KafkaException):
        producer.live.poll(0)


def _note(noted: dict[bytes, int], error: KafkaError | None, message: Message) -> None:
    # What could not be delivered fails the commit as well.
    key, offset = message.key(), message.offset()
    if error is None and key is not None and offset is not None and offset >= 0:
        noted[key] = offset


def _insist(call: Callable[[], None], deadline: float) -> None:
    """Make `call`, which goes on where it was, until it is done or `deadline` (monotonic seconds) is over."""
    while True:
        try:
            call()
        except KafkaException as exc:
            if not kafka_error(exc).retriable() or time.monotonic() > deadline:
                raise
        else:
            return
