"""Transactions that commit a group's offsets, and the state of its assigned partitions."""

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
# A process that dies within a transaction delays the next owner of its partitions this long.
_TRANSACTION_TIMEOUT_MS = 10_000
# A rebalance brings several of these errors, and a new producer needs ten answers from brokers.
_GROUP_REFUSES = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID}
)


# librdkafka's own format of a group's metadata: this prefix, the generation as a native
# integer, and the names of the group and the member, each followed by a zero byte.
_METADATA = b"CGMDv2:"
_GENERATION_BYTES = 4


def is_of_member(generation: bytes) -> bool:
    """Return whether `generation`, a result of `consumer_group_metadata`, names a generation and a member.

    A client that the group has just dropped returns metadata that lack the
    generation or the member. From such metadata, the broker can accept a
    transaction's offsets without checking the member.
    """
    if not generation.startswith(_METADATA):
        # Another version of librdkafka wrote this format, and a test of Streamer fails for it.
        # Only the broker can check it.
        return True
    content = generation.removeprefix(_METADATA)
    number, names = content[:_GENERATION_BYTES], content[_GENERATION_BYTES:]
    member = names.partition(b"\0")[2].partition(b"\0")[0]
    return int.from_bytes(number, sys.byteorder, signed=True) >= 0 and member != b""


class NothingWritten(Exception):
    """A transaction failed, and none of its records will ever be in the log."""

    def __init__(self, error: KafkaError) -> None:
        """Store Kafka's `error`."""
        super().__init__(error.str())
        self.error = error


class Undecided(Exception):
    """The outcome of a transaction is unknown until `GroupTransactions.decide` makes it certain.

    `written` has the offsets of the records that brokers have reported. These
    offsets are valid only if the transaction took effect.
    """

    def __init__(self, error: KafkaError, written: Mapping[bytes, int]) -> None:
        """Store Kafka's `error`."""
        super().__init__(error.str())
        self.error = error
        self.written = written


class GroupTransactions:
    """Writes records and a group's offsets in one transaction; blocking, for one thread.

    The broker refuses a transaction of a process that is no longer a member of the
    group.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName, errors: KafkaErrors) -> None:
        """Prepare; the first write creates a producer."""
        self._clients = clients
        # The group's metadata in the transaction do the fencing: an outdated generation can't
        # commit. The id must be unique: processes of a subscriber that shared an id would fence
        # each other. The id must stay the same in this process: then a new producer ends the
        # open transaction of the previous producer.
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
        """Commit `records` and the offsets `places`; return the offsets of records in the topic `noting`.

        The result has the offsets by record key. Raises `NothingWritten` and
        `Undecided`.
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
            # An error that asks for an abort comes here too, because the commit can have
            # reached the broker.
            self.close()
            self._is_open = True
            raise Undecided(kafka_error(exc), noted) from exc
        return noted

    def decide(self) -> None:
        """Make the outcome of the last transaction certain.

        A call waits only briefly, and the next call continues. Raises
        `KafkaException`.
        """
        if self._is_open:
            self._ready(_LOOK_S)

    def close(self) -> None:
        """Drop the producer and any uncommitted transaction."""
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    def _undo(self, error: KafkaError) -> None:
        """End a transaction that failed before its commit; keep its producer only if the group refused it."""
        is_ended = False
        if error.txn_requires_abort() and self._producer is not None:
            is_ended = self._producer.abort()
        if not is_ended or error.code() not in _GROUP_REFUSES:
            self.close()

    def _ready(self, timeout_s: float) -> TransactionalProducer:
        """Return the producer, after the open transaction of the previous producer was decided."""
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
    # An undelivered record also makes the commit fail.
    key, offset = message.key(), message.offset()
    if error is None and key is not None and offset is not None and offset >= 0:
        noted[key] = offset


@dataclass(slots=True, kw_only=True)
class AssignedPartition:
    """State of one partition under one assignment.

    `assignment` is the number of the assignment in this process: a partition that
    was lost and assigned again has a new number. The offsets in `settled_above`
    were settled before, and pages omit them. `unreadable` contains the dead letters
    of unreadable records by offset; the next settlement of the partition writes
    them to the log. `set_aside` has the offsets of unreadable records whose dead
    letters are in the log already. `parked` is the index of the parked events.
    """

    partition: Partition
    assignment: int
    settled_above: frozenset[int]
    parked: ParkedIndex = field(default_factory=ParkedIndex)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()

    def with_unreadable(self, progress: SettledOffsets) -> SettledOffsets:
        """Return `progress` with unreadable records counted as settled."""
        return SettledOffsets(
            next_offset=progress.next_offset,
            settled_above=progress.settled_above.union(self.set_aside, self.unreadable),
        )

    def settled(self, progress: SettledOffsets, letters: Collection[int]) -> None:
        """Note that the log has `progress`, and the dead letters of the records at the offsets `letters`."""
        gone = self.set_aside.union(letters)
        self.set_aside = frozenset(offset for offset in gone if offset >= progress.next_offset)
        for offset in letters:
            self.unreadable.pop(offset, None)


class AssignedPartitions(Mapping[Partition, AssignedPartition]):
    """Mapping of the partitions that are assigned to this process.

    One thread changes and reads the mapping; another thread can call `parked` at
    the same time. `known_topics` has the topic of every partition that was ever
    assigned.
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
        """Add a partition; call this before the partition is announced to the loop."""
        with self._changing:
            self._partitions[assigned_partition.partition] = assigned_partition
        self.known_topics.add(assigned_partition.partition.topic)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Remove `partitions`; partitions that are not assigned are ignored."""
        with self._changing:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def parked(self, partition: Partition, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the chunk offsets of the parked events among `offsets`, in order; empty if not assigned."""
        with self._changing:
            ours = self._partitions.get(partition)
        return {} if ours is None else ours.parked.locations(offsets)
