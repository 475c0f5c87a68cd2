"""Records what a subscriber has finished, in its consumer group's offsets."""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streamer.errors import Fenced, StreamerError
from streamer.events import DeadLetter, Partition, Progress, SubscriberName
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.dead_letters import dead_letter_records
from streamer.log.kafka.faults import Faults, kafka_error
from streamer.log.kafka.holding import Holding
from streamer.log.kafka.names import Names
from streamer.log.kafka.offsets import encode
from streamer.log.kafka.start import commit
from streamer.ports import Settlement

_DEADLINE_S = 10.0
_CALL_TIMEOUT_S = 5.0
# A process that dies in mid-transaction holds up its partitions' next owner for this long.
_TRANSACTION_TIMEOUT_MS = 10_000


class Settler:
    """Commits settlements of one member of one group. Blocking; its thread owns the consumer too.

    Progress alone is a plain commit. Dead letters go into the log in one
    transaction with the offsets that cover them. Either is refused by the
    broker for a member that is no longer in the group.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName) -> None:
        """Make no producer before a dead letter asks for one."""
        self._clients = clients
        self._names = Names.of(clients.settings)
        self._subscriber = subscriber
        # The group's metadata in the transaction do the fencing: a generation
        # that has passed can't commit. The id has only to be nobody else's,
        # since one shared by all processes of a subscriber would let them
        # fence each other, and to stay the same for this one, since a new
        # producer then ends the transaction that a former one left open.
        self._transactional_id = f"{self._names.dispatch_group(subscriber)}.{uuid.uuid4().hex}"
        self._faults = Faults(clients.settings)
        self._producer: Producer | None = None
        self._generation: Any = None

    def enter(self, generation: Any) -> None:
        """Settle as a member of `generation` from now on: what `consumer_group_metadata` said then.

        Asked for later it may say "no member", once the group has gone on
        without us, and the broker takes offsets of a transaction from those.
        """
        self._generation = generation

    def settle(
        self, consumer: Consumer, settlement: Settlement, holdings: Mapping[Partition, Holding]
    ) -> None:
        """Record `settlement`, as far as its assignments are in effect by `holdings`.

        Raises `LogUnavailable` when it may not have been recorded, `Fenced`
        when it holds dead letters of a former assignment.
        """
        covered = {
            holding.partition: (holding, holding.with_unreadable(settlement.progress[holding.partition]))
            for partition in settlement.progress
            if (holding := holdings.get(partition)) and holding.assignment == settlement.assignment
        }
        if settlement.set_aside and len(covered) < len(settlement.progress):
            raise Fenced(f"{self._subscriber} gave up events of partitions that are no longer its own")
        letters = [*settlement.set_aside]
        for holding, _ in covered.values():
            letters += holding.unreadable.values()
        self._record(consumer, letters, [_offset(holding.partition, at) for holding, at in covered.values()])
        for holding, at in covered.values():
            holding.settled(at)

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _record(
        self, consumer: Consumer, letters: Sequence[DeadLetter], offsets: Sequence[TopicPartition]
    ) -> None:
        try:
            if letters:
                self._transact(letters, offsets)
            elif offsets:
                commit(consumer, offsets)
        except KafkaException as exc:
            raise self._explained(exc) from exc

    def _transact(self, letters: Sequence[DeadLetter], offsets: Sequence[TopicPartition]) -> None:
        producer = self._producer or self._new_producer()
        try:
            producer.begin_transaction()
            for letter in letters:
                for record in dead_letter_records(letter, self._names.dead_letters):
                    producer.produce(
                        record.topic, record.value, record.key, record.partition, headers=list(record.headers)
                    )
            _insist(lambda s: producer.send_offsets_to_transaction(list(offsets), self._generation, s))
            _insist(producer.commit_transaction)
        except KafkaException as exc:
            self._undo(kafka_error(exc))
            raise

    def _undo(self, error: KafkaError) -> None:
        """End a transaction that failed; whether it was committed may be open."""
        if error.txn_requires_abort() and self._producer is not None:
            with contextlib.suppress(KafkaException):
                self._producer.abort_transaction(_CALL_TIMEOUT_S)
                return
        # A new one with our id begins by ending what this one left.
        self.close()

    def _new_producer(self) -> Producer:
        producer = self._clients.producer(
            self._faults,
            {
                "transactional.id": self._transactional_id,
                "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
            },
        )
        _insist(producer.init_transactions)
        self._producer = producer
        return producer

    def _explained(self, exc: KafkaException) -> StreamerError:
        # A generation that has passed comes as LogUnavailable, not as Fenced:
        # partitions that we keep through a rebalance are settled by the next
        # try, and of those that we lost we hear by then.
        return self._faults.explain(
            kafka_error(exc), doing="recording progress", subject=f"subscriber {self._subscriber}"
        )


def _offset(partition: Partition, progress: Progress) -> TopicPartition:
    committable = encode(progress)
    return TopicPartition(partition.topic, partition.number, committable.offset, committable.metadata)


def _insist(call: Callable[[float], None]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            call(_CALL_TIMEOUT_S)
        except KafkaException as exc:
            if not kafka_error(exc).retriable() or time.monotonic() > deadline:
                raise
        else:
            return
