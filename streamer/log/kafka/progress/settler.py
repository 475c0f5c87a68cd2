"""Records what a subscriber has finished, in its consumer group's offsets."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamer.errors import Fenced, LogUnavailable, StreamerError
from streamer.events import DeadLetter, Partition, Progress, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import Record, Tombstone, as_partition
from streamer.log.kafka.parked.changes import ParkedChanges
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import OffsetCommitter
from streamer.log.kafka.progress.metadata import CommittableOffset, bears, encode, marked, new_mark
from streamer.log.kafka.progress.transactions import GroupTransactions, NothingWritten, Undecided
from streamer.log.kafka.records.dead_letters import dead_letter_records, redriven_tombstones
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.records.receipts import receipt_record
from streamer.ports import Recorded, Settlement

Done = Callable[[Recorded | StreamerError], None]
"""Told what of a settlement is in the log, or why it is not."""


class NotYet(LogUnavailable):
    """It is not certain yet that a settlement is in the log: ask for it once more, before any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    """One partition's part of a settlement that is in effect."""

    assigned_partition: AssignedPartition
    progress: Progress
    unreadable: Mapping[int, DeadLetter]
    committable: CommittableOffset

    def is_in_effect(self, assigned: Mapping[Partition, AssignedPartition]) -> bool:
        """Whether its partition is ours by `assigned`, and was not lost and given back since."""
        ours = assigned.get(self.assigned_partition.partition)
        return ours is not None and ours.assignment == self.assigned_partition.assignment

    def place(self, mark: str = "") -> TopicPartition:
        partition, at = self.assigned_partition.partition, self.committable
        metadata = marked(at.metadata, mark) if mark else at.metadata
        return TopicPartition(partition.topic, partition.number, at.offset, metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transaction:
    """What one transaction records of `settlement`.

    The offsets that it commits bear its `mark`, and `written` is where its
    records are if it took effect, as far as brokers said.
    """

    settlement: Settlement
    covered: Sequence[_Covered]
    parking: ParkedChanges
    mark: str
    written: Mapping[bytes, int] = field(default_factory=dict)

    def places(self) -> list[TopicPartition]:
        return [part.place(self.mark) for part in self.covered]


class Settler:
    """Records settlements of one member of one group, in the thread that owns its consumer.

    Progress alone is a plain commit. What else is finished, parked or set
    aside goes into the log in one transaction with the offsets that cover it.
    Either is refused by the broker for a member that is no longer in the group.
    Whether a transaction took effect whose answer was lost, its mark tells.

    With `receipts` mere progress is a transaction too. A plain commit may be
    taken late, for librdkafka sends it again when a connection breaks: after
    what was recorded since, which would then be delivered and receipted again.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName, *, receipts: bool) -> None:
        """Make no producer before a transaction asks for one."""
        self.receipts = receipts
        self._names = Names.of(clients.settings)
        self._parked = ParkedTopic.of(clients.settings, subscriber)
        self._subscriber = subscriber
        self._errors = KafkaErrors(clients.settings)
        self._transactions = GroupTransactions(clients, subscriber, self._errors)
        self._generation: Any = None
        self._undecided: _Transaction | None = None
        self._must_begin_anew = False
        self._beginnings: dict[Partition, TopicPartition] = {}

    def enter(self, generation: Any) -> None:
        """Settle as a member of `generation` from now on: what `consumer_group_metadata` said then.

        Asked for later it may say "no member", once the group has gone on
        without us, and the broker takes offsets of a transaction from those.
        """
        self._generation = generation

    def begin_anew(self) -> None:
        """See to it that it is decided what became of the last transaction: who looks finds it in the log.

        Raises `KafkaException`.
        """
        self._transactions.decide()
        self._undecided = None
        self._must_begin_anew = False
        self._beginnings.clear()

    def begin(self, beginnings: Sequence[TopicPartition]) -> None:
        """Note where partitions begin in which nothing is settled: `settle_beginnings` records it."""
        self._beginnings |= {as_partition(place): place for place in beginnings}

    def give_up(self, partitions: Collection[Partition]) -> None:
        """Let go of the beginnings of `partitions`, which are others' now."""
        for partition in partitions:
            self._beginnings.pop(partition, None)

    def settle_beginnings(self) -> None:
        """Record the beginnings that were noted, before any settlement that covers them.

        Raises `NotYet`, and what someone has to see to.
        """
        if not self._beginnings:
            return
        # Whether a former try took effect does not matter: nothing came after it.
        try:
            self._transactions.write([], list(self._beginnings.values()), self._member())
        except (NothingWritten, Undecided) as exc:
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
        """Record `settlement`, as far as its assignment is in effect by `assigned`.

        `done` hears of `Fenced` when it holds more than progress and a former
        assignment, and of `LogUnavailable` when it is mere progress that may
        be in the log or not. Raises `NotYet`; `LogUnavailable` when the
        partitions have to be assigned anew, as the log has them, and none is
        in effect until `begin_anew`; and what someone has to see to.
        """
        if (recorded := self._found(settlement, assigned, offsets)) is not None:
            done(recorded)
            return
        covered = [] if self._must_begin_anew else list(_covered(settlement, assigned))
        if not settlement.is_plain and len(covered) < len(settlement.progress):
            done(Fenced(f"{self._subscriber} gave up events of partitions that are no longer its own"))
        elif settlement.is_plain and not covered:
            done(Recorded())
        elif self.receipts or not settlement.is_plain or any(part.unreadable for part in covered):
            done(self._transact(settlement, covered))
        else:
            offsets.commit([part.place() for part in covered], partial(self._committed, covered, done))

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        self._transactions.close()

    def _committed(self, covered: Sequence[_Covered], done: Done, error: KafkaError | None) -> None:
        done(_settled(covered) if error is None else self._explained(error))

    def _transact(self, settlement: Settlement, covered: Sequence[_Covered]) -> Recorded:
        known = {part.assigned_partition.partition: part.assigned_partition.parked for part in covered}
        parking = ParkedChanges(self._parked, settlement.lanes, known)
        transaction = _Transaction(settlement=settlement, covered=covered, parking=parking, mark=new_mark())
        records = [*self._beside(settlement, covered), *parking.records]
        try:
            written = self._transactions.write(
                records, transaction.places(), self._member(), noting=self._parked.name
            )
        except NothingWritten as exc:
            raise self._reason(exc.error) from exc
        except Undecided as exc:
            self._undecided = replace(transaction, written=exc.written)
            raise self._reason(exc.error) from exc
        self._errors.clear()
        return self._conclude(replace(transaction, written=written))

    def _member(self) -> Any:
        """Return as which member of which generation we write. Raises `NotYet`."""
        if self._generation is None:
            raise NotYet(f"{self._subscriber} does not know yet as which member of its group it records")
        return self._generation

    def _found(
        self,
        settlement: Settlement,
        assigned: Mapping[Partition, AssignedPartition],
        offsets: OffsetCommitter,
    ) -> Recorded | None:
        """Return what is recorded of `settlement` by a transaction whose answer was lost, if any is."""
        transaction = self._undecided
        if transaction is None or transaction.settlement != settlement:
            return None
        # Of what was lost since, the offsets are another member's.
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
            raise LogUnavailable("no broker said where in the log the events are that were parked last")
        transaction.parking.conclude(transaction.written)
        return _settled(transaction.covered)

    def _reason(self, error: KafkaError) -> StreamerError:
        """Return why something is not in the log: `NotYet`, or what someone has to see to."""
        explained = self._explained(error)
        return NotYet(str(explained)) if isinstance(explained, LogUnavailable) else explained

    def _beside(self, settlement: Settlement, covered: Sequence[_Covered]) -> Iterator[Record | Tombstone]:
        # What was redriven may have been set aside once more since.
        yield from redriven_tombstones(settlement, self._names.dead_letters)
        for letter in settlement.set_aside:
            yield from dead_letter_records(letter, self._names.dead_letters)
        for part in covered:
            for letter in part.unreadable.values():
                yield from dead_letter_records(letter, self._names.dead_letters)
        for receipt in settlement.receipts:
            yield receipt_record(receipt, self._names.receipts)

    def _explained(self, error: KafkaError) -> StreamerError:
        # A generation that has passed comes as LogUnavailable, not as Fenced:
        # partitions that we keep through a rebalance are settled by the next
        # try, and of those that we lost we hear by then.
        return self._errors.explain(
            error, doing="recording progress", subject=f"subscriber {self._subscriber}"
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
    """Note that `covered` is in the log."""
    for part in covered:
        part.assigned_partition.settled(part.progress, part.unreadable.keys())
    return Recorded(
        partitions=frozenset(part.assigned_partition.partition for part in covered),
        crowded=frozenset(part.assigned_partition.partition for part in covered if part.committable.crowded),
    )
