"""Records what a subscriber has finished, in its consumer group's offsets."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streamer.errors import Fenced, StreamerError
from streamer.events import DeadLetter, Partition, Progress, SubscriberName
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.commits import Outcome
from streamer.log.kafka.dead_letters import dead_letter_records
from streamer.log.kafka.expendable import Expendable
from streamer.log.kafka.faults import Faults, kafka_error
from streamer.log.kafka.holding import Holding
from streamer.log.kafka.names import Names
from streamer.log.kafka.offsets import Committable, encode
from streamer.ports import Recorded, Settlement

_DEADLINE_S = 10.0
_CALL_TIMEOUT_S = 5.0
_ABORT_S = 3.0
# A process that dies in mid-transaction holds up its partitions' next owner for this long.
_TRANSACTION_TIMEOUT_MS = 10_000


Commit = Callable[[Sequence[TopicPartition], Outcome], None]
"""How progress alone is committed at the moment."""

Done = Callable[[Recorded | StreamerError], None]
"""Told what of a settlement is in the log, or why that is uncertain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    """One partition's part of a settlement that is in effect."""

    holding: Holding
    progress: Progress
    unreadable: Mapping[int, DeadLetter]
    committable: Committable

    def place(self) -> TopicPartition:
        partition, at = self.holding.partition, self.committable
        return TopicPartition(partition.topic, partition.number, at.offset, at.metadata)


class Settler:
    """Records settlements of one member of one group, in the thread that owns its consumer.

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
        self._producer: Expendable | None = None
        self._generation: Any = None

    def enter(self, generation: Any) -> None:
        """Settle as a member of `generation` from now on: what `consumer_group_metadata` said then.

        Asked for later it may say "no member", once the group has gone on
        without us, and the broker takes offsets of a transaction from those.
        """
        self._generation = generation

    def settle(
        self, settlement: Settlement, holdings: Mapping[Partition, Holding], commit: Commit, done: Done
    ) -> None:
        """Record `settlement`, as far as its assignment is in effect by `holdings`.

        `done` hears of `LogUnavailable` when it may not have been recorded, of
        `Fenced` when it holds dead letters of a former assignment.
        """
        covered = list(_covered(settlement, holdings))
        if settlement.set_aside and len(covered) < len(settlement.progress):
            done(Fenced(f"{self._subscriber} gave up events of partitions that are no longer its own"))
            return

        def conclude(error: KafkaError | None) -> None:
            if error is not None:
                done(self._explained(error))
                return
            for part in covered:
                part.holding.settled(part.progress, part.unreadable.keys())
            done(_recorded(covered))

        letters = [
            *settlement.set_aside,
            *(letter for part in covered for letter in part.unreadable.values()),
        ]
        places = [part.place() for part in covered]
        if letters:
            conclude(self._transact(letters, places))
        elif places:
            commit(places, conclude)
        else:
            done(Recorded())

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _transact(self, letters: Sequence[DeadLetter], places: Sequence[TopicPartition]) -> KafkaError | None:
        try:
            producer = self._producer or self._new_producer()
            producer.live.begin_transaction()
            for letter in letters:
                for record in dead_letter_records(letter, self._names.dead_letters):
                    producer.live.produce(
                        record.topic, record.value, record.key, record.partition, headers=record.headers
                    )
            if places:
                _insist(producer, Producer.send_offsets_to_transaction, list(places), self._generation)
            _insist(producer, Producer.commit_transaction)
        except KafkaException as exc:
            self._undo(kafka_error(exc))
            return kafka_error(exc)
        # Serves what the background threads have to say.
        producer.live.poll(0)
        return None

    def _undo(self, error: KafkaError) -> None:
        """Give up a producer whose transaction failed; whether it was committed may be open."""
        if error.txn_requires_abort() and self._producer is not None:
            # Quicker than leaving it to the next one, which begins by ending what this one left.
            with contextlib.suppress(KafkaException):
                self._producer.live.abort_transaction(_ABORT_S)
        self.close()

    def _new_producer(self) -> Expendable:
        producer = self._producer = Expendable(
            self._clients.producer(
                self._faults,
                {
                    "transactional.id": self._transactional_id,
                    "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                },
            )
        )
        _insist(producer, Producer.init_transactions)
        return producer

    def _explained(self, error: KafkaError) -> StreamerError:
        # A generation that has passed comes as LogUnavailable, not as Fenced:
        # partitions that we keep through a rebalance are settled by the next
        # try, and of those that we lost we hear by then.
        return self._faults.explain(
            error, doing="recording progress", subject=f"subscriber {self._subscriber}"
        )


def _covered(settlement: Settlement, holdings: Mapping[Partition, Holding]) -> Iterator[_Covered]:
    for partition, progress in settlement.progress.items():
        holding = holdings.get(partition)
        if holding is not None and holding.assignment == settlement.assignment:
            full = holding.with_unreadable(progress)
            yield _Covered(
                holding=holding,
                progress=full,
                unreadable=dict(holding.unreadable),
                committable=encode(full),
            )


def _recorded(covered: Sequence[_Covered]) -> Recorded:
    return Recorded(
        partitions=frozenset(part.holding.partition for part in covered),
        crowded=frozenset(part.holding.partition for part in covered if part.committable.crowded),
    )


def _insist(producer: Expendable, call: Callable[..., None], *arguments: object) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            call(producer.live, *arguments, _CALL_TIMEOUT_S)
        except KafkaException as exc:
            if not kafka_error(exc).retriable() or time.monotonic() > deadline:
                raise
        else:
            return
