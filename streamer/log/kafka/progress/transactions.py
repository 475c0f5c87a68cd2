"""Transactions that carry the offsets of a consumer group."""

import time
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_retriable, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import Record, Tombstone
from streamer.log.kafka.cluster.transactional_producer import TransactionalProducer

_DEADLINE_S = 10.0
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
        self._errors = errors
        self._producer: TransactionalProducer | None = None
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
        deadline = time.monotonic() + _DEADLINE_S
        try:
            producer = self._ready(_DEADLINE_S)
            producer.begin()
            for record in records:
                is_noted = record.topic == noting and isinstance(record, Record)
                told = partial(_note, noted) if is_noted else None
                producer.produce([record], deadline - time.monotonic(), told=told)
            if places:
                producer.send_offsets(places, generation, deadline - time.monotonic())
        except KafkaException as exc:
            self._undo(kafka_error(exc))
            raise NothingWritten(kafka_error(exc)) from exc
        try:
            producer.commit(_DEADLINE_S)
        except KafkaException as exc:
            # Also where it calls for an abort: the broker may have heard of the commit.
            self.close()
            self._is_open = True
            raise Undecided(kafka_error(exc), noted) from exc
        return noted

    def decide(self) -> None:
        """See to it that it is decided whether the last transaction took effect.

        Tries for a moment, and goes on with it when called again. Raises `KafkaException`.
        """
        if self._is_open:
            self._ready(_LOOK_S)

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _undo(self, error: KafkaError) -> None:
        """End a transaction that failed before its commit, and its producer unless only the group refused."""
        is_ended = False
        if error.txn_requires_abort() and self._producer is not None:
            is_ended = self._producer.abort()
        if not is_ended or error.code() not in _GROUP_REFUSES:
            self.close()

    def _ready(self, timeout_s: float) -> TransactionalProducer:
        """Return the producer, once what a former one left open is decided."""
        producer = self._producer = self._producer or self._new_producer()
        try:
            producer.init(timeout_s)
        except KafkaException as exc:
            if not is_retriable(exc) or time.monotonic() > self._ready_by:
                self.close()
            raise
        self._is_open = False
        return producer

    def _new_producer(self) -> TransactionalProducer:
        self._ready_by = time.monotonic() + _DEADLINE_S
        configuration = {
            "transactional.id": self._transactional_id,
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        known_topic = Names.of(self._clients.settings).dead_letters
        return TransactionalProducer(self._clients, self._errors, configuration, known_topic=known_topic)


def _note(noted: dict[bytes, int], error: KafkaError | None, message: Message) -> None:
    # What could not be delivered fails the commit as well.
    key, offset = message.key(), message.offset()
    if error is None and key is not None and offset is not None and offset >= 0:
        noted[key] = offset
