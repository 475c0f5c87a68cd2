"""Settler of one subscriber, which records progress in the offsets of its consumer group."""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamer.errors import Fenced, LogUnavailable, StreamerError
from streamer.events import DeadLetter, Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.clients import Clients, largest_record
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone, as_partition
from streamer.log.kafka.cluster.transactions import TransactionFailed, Transactions, Undecided
from streamer.log.kafka.parked_index import ParkedChanges
from streamer.log.kafka.progress.assignment import AssignedPartition, is_of_member
from streamer.log.kafka.progress.commits import OffsetCommitter
from streamer.log.kafka.progress.metadata import CommittableOffset, bears, encode, marked, new_mark
from streamer.log.kafka.records.dead_letters import dead_letter_records, removed_letters
from streamer.log.kafka.records.events import receipt_record
from streamer.log.kafka.records.forwarded import forwarded_records
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.schemas.state_schemas import StateSchemaMissing
from streamer.log.kafka.states.writer import CONFLICT, StateWriter
from streamer.ports import Recorded, Settlement

_READY_S = 10.0
_DEADLINE_S = 20.0
# If a process dies during a transaction, the next owner of its partitions waits this long.
_TRANSACTION_TIMEOUT_MS = 10_000

Done = Callable[[Recorded | StreamerError], None]
"""Callback with the recorded part of a settlement, or with the error that prevented the recording."""


class NotYet(LogUnavailable):
    """It is uncertain whether a settlement was recorded; settle it again before any other settlement."""


class MemberRefused(NotYet):
    """The brokers refuse this process as a member of the subscriber's consumer group."""


_REFUSES_MEMBER = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    """Part of a settlement for one partition that is still assigned."""

    assigned_partition: AssignedPartition
    progress: SettledOffsets
    unreadable: Mapping[int, DeadLetter]
    committable: CommittableOffset

    def is_in_effect(self, assigned: Mapping[Partition, AssignedPartition]) -> bool:
        """Return whether the partition is still assigned to this process under the same assignment."""
        ours = assigned.get(self.assigned_partition.partition)
        return ours is not None and ours.assignment == self.assigned_partition.assignment

    def place(self, mark: str = "") -> TopicPartition:
        partition, at = self.assigned_partition.partition, self.committable
        metadata = marked(at.metadata, mark) if mark else at.metadata
        return TopicPartition(partition.topic, partition.number, at.offset, metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transaction:
    """Transaction that records `settlement`.

    The metadata of the committed offsets contain `mark`. `written` has the offsets
    of the records that brokers have reported. These offsets are valid only if the
    transaction took effect.
    """

    settlement: Settlement
    covered: Sequence[_Covered]
    parking: ParkedChanges
    mark: str
    written: Mapping[bytes, int] = field(default_factory=dict)

    def places(self) -> list[TopicPartition]:
        return [part.place(self.mark) for part in self.covered]


class KafkaSettler:
    """Records settlements of one member of one group, in the thread that owns its consumer.

    Progress alone is a plain commit. A settlement with receipts, forwarded events, dead
    letters, states or parked events is written in one transaction together with the
    offsets that cover it. The broker refuses both kinds of commit from a former member of the
    group. If the answer to a transaction was lost, the mark of the transaction shows
    whether the transaction took effect.

    With `receipts`, progress alone is also a transaction, because librdkafka sends a
    plain commit again when a connection breaks. The broker could then accept the
    repeated commit late. The late commit would undo newer progress, and the events of
    the undone progress would be delivered again, each with a second receipt.
    """

    def __init__(
        self,
        clients: Clients,
        subscriber: SubscriberName,
        *,
        receipts: bool,
        states: StateWriter | None = None,
    ) -> None:
        """Prepare the settler; the first transaction creates a producer.

        With `states`, settlements contain states, and no parked events.
        """
        self.receipts = receipts
        self._names = Names.of(clients.settings)
        self._parked = ParkedTopic.of(clients.settings, subscriber)
        self._largest_record = largest_record(clients.settings)
        self._subscriber = subscriber
        self._errors = KafkaErrors(clients.settings)
        # The group's metadata in the transaction fence off former members: a past generation
        # can't commit. The transactional id must be unique, because processes with the same id
        # would fence off each other. The id must stay the same in this process, so that a new
        # producer ends the open transaction of the previous producer.
        configuration = {
            "transactional.id": f"{self._names.dispatch_group(subscriber)}.{uuid.uuid4().hex}",
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
        self._transactions = Transactions(
            clients,
            self._errors,
            configuration,
            known_topic=self._names.dead_letters,
            noting=self._parked.name,
            delivered=None if states is None else states.delivered,
        )
        self._states = states
        self._clock = clients.clock
        self._generation: bytes | None = None
        self._undecided: _Transaction | None = None
        self._must_begin_anew = False
        self._beginnings: dict[Partition, TopicPartition] = {}

    def enter(self, generation: bytes) -> None:
        """Settle as a member of `generation`, the current result of `consumer_group_metadata`.

        If the group has dropped this process in the meantime, the result contains
        no generation. The settler then keeps the previous generation, which the
        broker refuses.
        """
        if is_of_member(generation):
            self._generation = generation

    def begin_anew(self) -> None:
        """Make the outcome of the last transaction certain, so that a later read of the log finds it.

        Raises `KafkaException`.
        """
        self._transactions.decide()
        self._undecided = None
        self._must_begin_anew = False
        self._beginnings.clear()

    def begin(self, beginnings: Sequence[TopicPartition]) -> None:
        """Note the first offsets of partitions without progress; `settle_beginnings` records them."""
        self._beginnings |= {as_partition(place): place for place in beginnings}

    def give_up(self, partitions: Collection[Partition]) -> None:
        """Forget the first offsets of `partitions`, which other members now own."""
        for partition in partitions:
            self._beginnings.pop(partition, None)

    def settle_beginnings(self) -> None:
        """Record the noted first offsets; call this before any settlement of the same partitions.

        Raises `NotYet`, and errors that need an operator.
        """
        if not self._beginnings:
            return
        # The outcome of an earlier attempt does not matter, because no other settlement has
        # followed.
        try:
            self._write([], list(self._beginnings.values()))
        except TransactionFailed as exc:
            raise self._reason(exc.error) from exc
        self._errors.clear()
        self._beginnings.clear()

    def settle(
        self,
        settlement: Settlement,
        assigned: Mapping[Partition, AssignedPartition],
        offsets: OffsetCommitter,
        done: Done,
    ) -> None:
        """Record `settlement` for the partitions that are still assigned under the settlement's assignment.

        `done` gets `Fenced` when the settlement contains more than progress and belongs
        to an earlier assignment, or when another process has written one of its states
        since this process looked it up. `done` gets `StateSchemaMissing` when a state needs
        a schema first, and `LogUnavailable` when it is uncertain whether a plain commit has
        reached the log. Raises `NotYet`. Raises
        `LogUnavailable` when all partitions must be assigned again from the state in
        the log. After this error, the settler records nothing until `begin_anew` was
        called. Also raises errors that need an operator.
        """
        if (recorded := self._found(settlement, assigned, offsets)) is not None:
            done(recorded)
            return
        covered = [] if self._must_begin_anew else list(_covered(settlement, assigned))
        if not settlement.is_plain and len(covered) < len(settlement.progress):
            done(
                Fenced(
                    "this process can't settle events of partitions that it no longer owns for the "
                    f"subscriber {self._subscriber}"
                )
            )
        elif settlement.is_plain and not covered:
            done(Recorded())
        elif self.receipts or not settlement.is_plain or any(part.unreadable for part in covered):
            try:
                done(self._transact(settlement, covered))
            except StateSchemaMissing as error:
                # Nothing was written; the caller finds the schema, and settles again.
                done(error)
        else:
            offsets.commit([part.place() for part in covered], partial(self._committed, covered, done))

    def close(self) -> None:
        """Drop the producer and any uncommitted transaction."""
        self._transactions.discard()

    def _committed(self, covered: Sequence[_Covered], done: Done, error: KafkaError | None) -> None:
        done(_settled(covered) if error is None else self._explained(error))

    def _transact(self, settlement: Settlement, covered: Sequence[_Covered]) -> Recorded | Fenced:
        known = {part.assigned_partition.partition: part.assigned_partition.parked for part in covered}
        parking = ParkedChanges(self._parked, settlement.lanes, known)
        transaction = _Transaction(settlement=settlement, covered=covered, parking=parking, mark=new_mark())
        records = [*self._beside(settlement, covered), *parking.records]
        try:
            written = self._write(records, transaction.places())
        except TransactionFailed as exc:
            if isinstance(exc, Undecided):
                self._undecided = replace(transaction, written=exc.written)
            if exc.error.code() == CONFLICT:
                return Fenced(exc.error.str())
            raise self._reason(exc.error) from exc
        self._errors.clear()
        return self._conclude(replace(transaction, written=written))

    def _write(
        self, records: Sequence[ProducerRecord | Tombstone], places: Sequence[TopicPartition]
    ) -> Mapping[bytes, int]:
        """Commit `records` and the offsets `places`. Raises `NotYet` and `TransactionFailed`."""
        generation = self._member()
        try:
            self._transactions.begin(_READY_S)
        except KafkaException as exc:
            raise self._reason(kafka_error(exc)) from exc
        deadline = self._clock.monotonic() + _DEADLINE_S
        verify = self._states.verify if self._states is not None and records else None
        return self._transactions.write(
            [records], deadline, offsets=places, generation=generation, verify=verify
        )

    def _member(self) -> bytes:
        """Return the group metadata to record with; raises `NotYet` if there is no metadata yet."""
        if self._generation is None:
            raise NotYet(f"the subscriber {self._subscriber} has not joined its consumer group yet")
        return self._generation

    def _found(
        self,
        settlement: Settlement,
        assigned: Mapping[Partition, AssignedPartition],
        offsets: OffsetCommitter,
    ) -> Recorded | None:
        """Return the recorded part of `settlement` if its unanswered transaction took effect."""
        transaction = self._undecided
        if transaction is None or transaction.settlement != settlement:
            return None
        # The offsets of lost partitions belong to another member.
        ours = [each for each in transaction.covered if each.is_in_effect(assigned)]
        try:
            has_taken_effect = bool(ours) and self._is_committed(transaction.mark, ours, offsets)
        except KafkaException as exc:
            raise self._reason(kafka_error(exc)) from exc
        self._undecided = None
        return self._conclude(replace(transaction, covered=ours)) if has_taken_effect else None

    def _is_committed(self, mark: str, covered: Sequence[_Covered], offsets: OffsetCommitter) -> bool:
        self._transactions.decide()
        stored = offsets.committed([part.place() for part in covered])
        self._errors.clear()
        return any(bears(place.metadata, mark) for place in stored)

    def _conclude(self, transaction: _Transaction) -> Recorded:
        if not transaction.parking.is_placed(transaction.written):
            self._must_begin_anew = True
            raise LogUnavailable(
                "the brokers have not reported the offsets of the events that were parked last"
            )
        transaction.parking.conclude(transaction.written)
        if self._states is not None:
            self._states.conclude()
        return _settled(transaction.covered)

    def _reason(self, error: KafkaError) -> StreamerError:
        """Return the error to raise: `NotYet`, or an error that needs an operator."""
        explained = self._explained(error)
        if not isinstance(explained, LogUnavailable):
            return explained
        return MemberRefused(str(explained)) if error.code() in _REFUSES_MEMBER else NotYet(str(explained))

    def _beside(
        self, settlement: Settlement, covered: Sequence[_Covered]
    ) -> Iterator[ProducerRecord | Tombstone]:
        # Tombstones come first, because a redriven event can have been set aside again in the
        # meantime.
        yield from removed_letters(settlement.redriven, self._names.dead_letters)
        for letter in settlement.set_aside:
            yield from dead_letter_records(letter, self._names.dead_letters)
        for part in covered:
            for letter in part.unreadable.values():
                yield from dead_letter_records(letter, self._names.dead_letters)
        for receipt in settlement.receipts:
            yield receipt_record(receipt, self._names.receipts)
        if self._states is not None:
            yield from self._states.records(settlement.states, round(self._clock.now() * 1000))
        for forwarded in settlement.forwarded:
            yield from forwarded_records(forwarded, self._names, limit=self._largest_record)

    def _explained(self, error: KafkaError) -> StreamerError:
        # An outdated generation becomes LogUnavailable, not Fenced. The next attempt settles
        # the partitions that this process keeps through a rebalance. The lost partitions are
        # revoked by then.
        return self._errors.explain(
            error, doing="recording the progress of", subject=f"subscriber {self._subscriber}"
        )


def _covered(settlement: Settlement, assigned: Mapping[Partition, AssignedPartition]) -> Iterator[_Covered]:
    for partition, progress in settlement.progress.items():
        assigned_partition = assigned.get(partition)
        if assigned_partition is not None and assigned_partition.assignment == settlement.assignment:
            full = assigned_partition.with_unreadable(progress)
            yield _Covered(
                assigned_partition=assigned_partition,
                progress=full,
                unreadable=dict(assigned_partition.unreadable),
                committable=encode(full),
            )


def _settled(covered: Sequence[_Covered]) -> Recorded:
    """Note that the log has `covered`."""
    for part in covered:
        part.assigned_partition.settled(part.progress, part.unreadable.keys())
    return Recorded(
        partitions=frozenset(part.assigned_partition.partition for part in covered),
        crowded=frozenset(part.assigned_partition.partition for part in covered if part.committable.crowded),
    )
