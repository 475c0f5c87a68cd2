"""Records what a subscriber has finished, in its consumer group's offsets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamer.errors import Fenced, LogUnavailable, StreamerError
from streamer.events import DeadLetter, Partition, Progress, SubscriberName
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.commits import Outcome
from streamer.log.kafka.dead_letters import dead_letter_records, redriven_tombstones
from streamer.log.kafka.encoding import Record, Tombstone
from streamer.log.kafka.faults import Faults, kafka_error
from streamer.log.kafka.group_transactions import GroupTransactions, NothingWritten
from streamer.log.kafka.holding import Holding
from streamer.log.kafka.names import Names
from streamer.log.kafka.offsets import Committable, encode
from streamer.log.kafka.parked_topic import ParkedTopic
from streamer.log.kafka.parking import Parking
from streamer.log.kafka.receipts import receipt_record
from streamer.ports import Recorded, Settlement

Commit = Callable[[Sequence[TopicPartition], Outcome], None]
"""How progress alone is committed at the moment."""

Done = Callable[[Recorded | StreamerError], None]
"""Told what of a settlement is in the log, or why that is uncertain."""


class NotYet(LogUnavailable):
    """Nothing of a settlement is in the log; it can be tried again as it is."""


class Uncertain(LogUnavailable):
    """A settlement may be in the log, or not."""


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

    Progress alone is a plain commit. What else is finished, parked or set
    aside goes into the log in one transaction with the offsets that cover it.
    Either is refused by the broker for a member that is no longer in the group.
    """

    def __init__(self, clients: Clients, subscriber: SubscriberName) -> None:
        """Make no producer before a transaction asks for one."""
        self._names = Names.of(clients.settings)
        self._parked = ParkedTopic.of(clients.settings, subscriber)
        self._subscriber = subscriber
        self._faults = Faults(clients.settings)
        self._transactions = GroupTransactions(clients, subscriber, self._faults)
        self._generation: Any = None

    def enter(self, generation: Any) -> None:
        """Settle as a member of `generation` from now on: what `consumer_group_metadata` said then.

        Asked for later it may say "no member", once the group has gone on
        without us, and the broker takes offsets of a transaction from those.
        """
        self._generation = generation

    def decide(self) -> None:
        """See to it that it is decided what became of the last transaction. Raises `KafkaException`."""
        self._transactions.decide()

    def settle(
        self, settlement: Settlement, holdings: Mapping[Partition, Holding], commit: Commit, done: Done
    ) -> None:
        """Record `settlement`, as far as its assignment is in effect by `holdings`.

        `done` hears of `Fenced` when it holds more than progress and a former
        assignment, of `NotYet` when nothing of it was recorded, and of
        `LogUnavailable`, such as `Uncertain`, when it may be.
        """
        covered = list(_covered(settlement, holdings))
        if not settlement.is_plain and len(covered) < len(settlement.progress):
            done(Fenced(f"{self._subscriber} gave up events of partitions that are no longer its own"))
            return

        def conclude(error: StreamerError | None) -> None:
            if error is not None:
                done(error)
                return
            for part in covered:
                part.holding.settled(part.progress, part.unreadable.keys())
            done(_recorded(covered))

        def committed(error: KafkaError | None) -> None:
            conclude(None if error is None else self._explained(error))

        if not settlement.is_plain or any(part.unreadable for part in covered):
            conclude(self._transact(settlement, covered))
        elif covered:
            commit([part.place() for part in covered], committed)
        else:
            done(Recorded())

    def close(self) -> None:
        """Drop the producer, and with it what it did not commit."""
        self._transactions.close()

    def _transact(self, settlement: Settlement, covered: Sequence[_Covered]) -> StreamerError | None:
        places = [part.place() for part in covered]
        known = {part.holding.partition: part.holding.parked for part in covered}
        parking = Parking(self._parked, settlement.lanes, known)
        records = [*self._beside(settlement, covered), *parking.records]
        try:
            written = self._transactions.write(records, places, self._generation, noting=self._parked.name)
        except NothingWritten as exc:
            error = self._explained(exc.error)
            return NotYet(str(error)) if isinstance(error, LogUnavailable) else error
        except KafkaException as exc:
            error = self._explained(kafka_error(exc))
            return Uncertain(str(error)) if isinstance(error, LogUnavailable) else error
        self._faults.clear()
        parking.conclude(written)
        return None

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
