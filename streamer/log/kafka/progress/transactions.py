"""Transactions that carry a group's offsets, for the partitions that it has assigned."""

import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streamer.events import DeadLetter, Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_retriable, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone, TransactionalProducer
from streamer.log.kafka.parked.index import ParkedIndex
from streamer.log.kafka.records.events import ChunkOffsets

_DEADLINE_S = 10.0
_LOOK_S = 0.5
# A process that dies in mid-transaction delays the next owner of its partitions this long.
_TRANSACTION_TIMEOUT_MS = 10_000
# In a rebalance there are several in turn, and a new producer takes ten answers of brokers.
_GROUP_REFUSES = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID}
)


# librdkafka's own form of a group's metadata: this, the generation as an integer
# of the machine, and the names of the group and the member, each with a zero after it.
_METADATA = b"CGMDv2:"
_GENERATION_BYTES = 4


def is_of_member(generation: bytes) -> bool:
    """Return whether `generation`, a result of `consumer_group_metadata`, names a generation and a member.

    A client that the group has just lost returns metadata without one of them.
    The broker can take the offsets of a transaction with such metadata from
    anybody.
    """
    if not generation.startswith(_METADATA):
        # Of another librdkafka, which a test of ours refuses: only the broker can judge it.
        return True
    content = generation.removeprefix(_METADATA)
    number, names = content[:_GENERATION_BYTES], content[_GENERATION_BYTES:]
    member = names.partition(b"\0")[2].partition(b"\0")[0]
    return int.from_bytes(number, sys.byteorder, signed=True) >= 0 and member != b""


class NothingWritten(Exception):
    """A transaction failed, and none of its records is or ever will be in the log."""

    def __init__(self, error: KafkaError) -> None:
        """Keep the error of Kafka."""
        super().__init__(error.str())
        self.error = error


class Undecided(Exception):
    """The outcome of a transaction is open until `GroupTransactions.decide` makes it certain.

    `written` are the offsets of its records if it takes effect, as far as
    brokers reported them.
    """

    def __init__(self, error: KafkaError, written: Mapping[bytes, int]) -> None:
        """Keep the error of Kafka."""
        super().__init__(error.str())
        self.error = error
        self.written = written


class GroupTransactions:
    """Writes records and a group's offsets together, or neither. Blocking, for one thread.

    The broker refuses a process that is no longer a member of the group.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName, errors: KafkaErrors) -> None:
        """Prepare; the first write makes a producer."""
        self._clients = clients
        # The group's metadata in the transaction do the fencing: a past
        # generation cannot commit. The id must be unique, because an id
        # shared by all processes of a subscriber would let them fence each
        # other. It must stay the same in this process, because a new
        # producer then ends the open transaction of a former one.
        group = Names.of(clients.settings).dispatch_group(subscriber)
        self._transactional_id = f"{group}.{uuid.uuid4().hex}"
        self._errors = errors
        self._producer: TransactionalProducer | None = None
        self._ready_by = 0.0
        self._is_open = False

    def write(
        self,
        records: Sequence[ProducerRecord | Tombstone],
        places: Sequence[TopicPartition],
        generation: Any,
        *,
        noting: str = "",
    ) -> Mapping[bytes, int]:
        """Commit `records` and the offsets `places`; return the offsets of the records in `noting`, by key.

        Raises `NothingWritten` and `Undecided`.
        """
        noted: dict[bytes, int] = {}
        deadline = time.monotonic() + _DEADLINE_S
        try:
            producer = self._ready(_DEADLINE_S)
            producer.begin()
            for record in records:
                is_noted = record.topic == noting and isinstance(record, ProducerRecord)
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
            # This includes an error that asks for an abort: the commit can have reached the broker.
            self.close()
            self._is_open = True
            raise Undecided(kafka_error(exc), noted) from exc
        return noted

    def decide(self) -> None:
        """Make the outcome of the last transaction certain.

        Tries briefly, and continues when called again. Raises `KafkaException`.
        """
        if self._is_open:
            self._ready(_LOOK_S)

    def close(self) -> None:
        """Drop the producer, and with it any uncommitted transaction."""
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
        """Return the producer, once the open transaction of a former one is decided."""
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
    # An undelivered record fails the commit as well.
    key, offset = message.key(), message.offset()
    if error is None and key is not None and offset is not None and offset >= 0:
        noted[key] = offset


@dataclass(slots=True, kw_only=True)
class AssignedPartition:
    """State of one partition under one assignment.

    `assignment` numbers the assignments of this process and subscriber: a
    partition that was lost and assigned again has a new number. `settled_above`
    was settled before and is left out of pages. `unreadable` are the records
    without an event, as dead letters that go into the log with the next
    settlement of the partition; `set_aside` are the offsets of those already in
    the log. `parked` indexes its parked events.
    """

    partition: Partition
    assignment: int
    settled_above: frozenset[int]
    parked: ParkedIndex = field(default_factory=ParkedIndex)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()

    def with_unreadable(self, progress: SettledOffsets) -> SettledOffsets:
        """Return `progress` with the records without an event counted as settled."""
        return SettledOffsets(
            next_offset=progress.next_offset,
            settled_above=progress.settled_above.union(self.set_aside, self.unreadable),
        )

    def settled(self, progress: SettledOffsets, letters: Collection[int]) -> None:
        """Note that the log has `progress` and the dead letters of the offsets `letters`."""
        gone = self.set_aside.union(letters)
        self.set_aside = frozenset(offset for offset in gone if offset >= progress.next_offset)
        for offset in letters:
            self.unreadable.pop(offset, None)


class AssignedPartitions(Mapping[Partition, AssignedPartition]):
    """Mapping of the partitions that are assigned to this process.

    One thread changes and reads it; another can call `parked` meanwhile.
    `known_topics` are the topics of every partition since the beginning.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._partitions: dict[Partition, AssignedPartition] = {}
        self.known_topics: set[str] = set()

    def __getitem__(self, partition: Partition) -> AssignedPartition:
        return self._partitions[partition]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._partitions)

    def __len__(self) -> int:
        return len(self._partitions)

    def add(self, assigned_partition: AssignedPartition) -> None:
        """Add a partition; do so before it is announced to the loop."""
        with self._changing:
            self._partitions[assigned_partition.partition] = assigned_partition
        self.known_topics.add(assigned_partition.partition.topic)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Remove those of `partitions` that are assigned."""
        with self._changing:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def parked(self, partition: Partition, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the locations of the parked events among `offsets`, in order; none without assignment."""
        with self._changing:
            ours = self._partitions.get(partition)
        return {} if ours is None else ours.parked.locations(offsets)
