"""Receipts in a real Kafka."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamer.clock import SystemClock
from streamer.errors import Fenced, LogUnavailable
from streamer.events import Partition, SettledOffsets
from streamer.log.kafka.cluster import clients
from streamer.log.kafka.cluster.broker_check import CheckedConsumer
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.transactions import NothingWritten, Transactions, Undecided
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.progress.assignment import is_of_member
from streamer.log.kafka.progress.settler import KafkaSettler, NotYet
from streamer.ports import Settlement
from tests.contracts.follower import Follower, following
from tests.contracts.kafka_world import read_committed
from tests.contracts.values import a_receipt, an_append, an_event, append_to
from tests.integration.kafka.cluster import Cluster
from tests.integration.kafka.parking_process import parked
from tests.integration.kafka.test_parking import reading, until_assigned
from tests.integration.kafka.topics import own_settings
from tests.waiting import limited, until

_DEADLINE_S = 60.0


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster with nothing of ours in it, whose subscriber keeps receipts."""
    return Cluster(kafka, receipts=True)


async def test_receipt_lies_in_the_partition_of_its_events_key(kafka: str) -> None:
    """So events and what became of them can be joined partition by partition."""
    settings = own_settings(kafka, partitions=5)
    events = [an_event(n, key=f"001{n:05d}AAA") for n in range(40)]
    receipts = [replace(a_receipt(event.id), event_key=event.key) for event in events]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(*events))
        async with following(log) as follower:
            await follower.read_until("39")
            [number] = set(follower.assigned.values())
            progress = {p: SettledOffsets(next_offset=at) for p, at in follower.through.items()}
            await follower.feed.settle(Settlement(assignment=number, progress=progress, receipts=receipts))
    names = Names.of(settings)
    places = [
        {message.key(): message.partition() for message in read_committed(kafka, topic, 5)}
        for topic in (names.event_topic(events[0].type), names.receipts)
    ]

    assert places[0] == places[1]
    assert len(places[1]) == 40


async def test_receipt_is_written_once_though_nobody_heard_of_its_commit(cluster: Cluster) -> None:
    """The offsets show that the commit took effect, and nothing is assigned again."""
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        disturb(follower, lost_answer)
        recorded = await follower.settle(receipts=[a_receipt("1")])
        cluster.write(an_event(2))

        assert await follower.read_until("2") == ["1", "2"]
        assert recorded.partitions == {*follower.assigned}
    assert cluster.receipts() == [a_receipt("1")]


async def test_receipt_is_written_when_its_first_commit_never_came_to_the_broker(cluster: Cluster) -> None:
    """The offsets tell that it did not take effect, and what was delivered is not delivered again."""
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        disturb(follower, lost_request)
        await follower.settle(receipts=[a_receipt("1")])
        cluster.write(an_event(2))

        assert await follower.read_until("2") == ["1", "2"]
    assert cluster.receipts() == [a_receipt("1")]


@pytest.mark.parametrize("fault", ["lost_answer", "lost_request"])
async def test_settlement_waits_until_what_became_of_the_one_before_it_is_certain(
    cluster: Cluster, fault: str
) -> None:
    """It covers what the former one may not have written: a receipt would be lost."""
    cluster.create_for()
    cluster.write(an_event(1), an_event(2))
    async with cluster.following() as follower:
        await follower.read_until("1", "2")
        disturbed = disturb(follower, {"lost_answer": lost_answer, "lost_request": lost_request}[fault])
        disturbed.is_open = True
        with taken_together(follower):
            first = asyncio.create_task(follower.settle(but=["2"], receipts=[a_receipt("1")]))
            second = asyncio.create_task(follower.settle(receipts=[a_receipt("2")]))
            await asyncio.sleep(0)
        cluster.write(an_event(3))
        # Reading goes on meanwhile.
        await follower.read_until("3")
        assert not first.done()
        assert not second.done()
        disturbed.is_open = False
        await first
        await second

    assert cluster.receipts() == [a_receipt("1"), a_receipt("2")]


async def test_receipts_are_written_once_though_a_partition_moves_before_that_is_certain(
    cluster: Cluster,
) -> None:
    """A lost partition's next owner continues where the log says; kept partitions get their receipts."""
    cluster.create_for(partitions=2)
    for partition in range(2):
        cluster.write(an_event(partition), partition=partition)
    async with cluster.following() as first:
        await first.read_until("0", "1")
        disturbed = disturb(first, lost_answer)
        disturbed.is_open = True
        settled = asyncio.create_task(first.settle(receipts=[a_receipt("0"), a_receipt("1")]))
        async with cluster.following() as second, reading(first):
            await until_assigned(second, 1)
            assert not settled.done()
            disturbed.is_open = False
            recorded = await settled
            [moved] = second.assigned
            cluster.write(an_event("new"), partition=moved.number)
            assert await second.read_until("new") == ["new"]

            assert recorded.partitions == {*first.assigned}
    assert sorted(receipt.event_id for receipt in cluster.receipts()) == ["0", "1"]


async def test_receipt_is_written_once_though_its_producer_was_fenced_in_mid_transaction(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that ends a producer says as little of the commit as silence does."""
    cluster.create_for()
    cluster.write(an_event(1))
    sent: list[None] = []
    send_offsets = Transactions.send_offsets

    def send_and_be_fenced(transactions: Transactions, *what: Any) -> None:
        send_offsets(transactions, *what)
        if not sent:
            cluster.fence(transactions._configuration["transactional.id"])
        sent.append(None)

    monkeypatch.setattr(Transactions, "send_offsets", send_and_be_fenced)
    async with cluster.following() as follower:
        await follower.read_until("1")
        recorded = await follower.settle(receipts=[a_receipt("1")])

        assert recorded.partitions == {*follower.assigned}
    assert len(sent) >= 2
    assert cluster.receipts() == [a_receipt("1")]


async def test_producer_that_only_the_group_refused_writes_what_is_written_next(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rebalance that befalls several transactions in turn."""
    cluster.create_for()
    former = await asyncio.to_thread(cluster.former_member)
    cluster.write(an_event(1))
    producers: list[object] = []
    send_offsets = Transactions.send_offsets

    def send_as_a_former_member_first(
        transactions: Transactions, places: Any, generation: Any, timeout_s: float
    ) -> None:
        producers.append(transactions._producer)
        send_offsets(transactions, places, generation if len(producers) > 2 else former, timeout_s)

    monkeypatch.setattr(Transactions, "send_offsets", send_as_a_former_member_first)
    async with cluster.following() as follower:
        await follower.read_until("1")
        await follower.settle(receipts=[a_receipt("1")])

    assert len(producers) >= 3
    assert len(set(map(id, producers))) == 1
    assert cluster.receipts() == [a_receipt("1")]


async def test_who_is_no_member_records_nothing(cluster: Cluster) -> None:
    """The broker would take it from anybody: a client that the group has just lost names no generation."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    settlement = Settlement(
        assignment=1,
        progress={Partition(topic=topic, number=0): SettledOffsets(next_offset=1)},
        receipts=(a_receipt("1"),),
    )
    nobody = await asyncio.to_thread(cluster.nobody)
    told = await asyncio.to_thread(cluster.settle_as, nobody, settlement)

    assert not is_of_member(nobody)
    assert is_of_member(await asyncio.to_thread(cluster.former_member))
    assert cluster.receipts() == []
    assert isinstance(told, NotYet)
    assert cluster.committed(topic).offset < 0


async def test_nothing_is_committed_that_may_be_taken_late(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain commit is sent again when its connection breaks, behind what was recorded since."""
    plain: list[object] = []
    monkeypatch.setattr(clients, "CheckedConsumer", partial(Watched, plain))
    async with cluster.following() as first:
        topic = cluster.create_for(partitions=2)
        await until_assigned(first, 2)
        await until_begun(cluster, topic)
        cluster.write(an_event(0))
        await first.read_until("0")
        await first.settle()
        async with cluster.following() as second, reading(first):
            await until_assigned(second, 1)
            await second.settle()

    assert not plain
    assert cluster.committed(topic).offset > 0


class Watched(CheckedConsumer):
    """A consumer that reports the commits it makes as a member of its group."""

    def __init__(self, plain: list[object], *args: Any, **kwargs: Any) -> None:
        """Note commits in `plain`."""
        super().__init__(*args, **kwargs)
        self._plain = plain
        self._is_member = False

    def subscribe(self, *args: Any, **kwargs: Any) -> None:
        """Join."""
        self._is_member = True
        super().subscribe(*args, **kwargs)

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        """Commit, and note that."""
        if self._is_member:
            self._plain.append(kwargs)
        return super().commit(*args, **kwargs)


async def until_begun(cluster: Cluster, topic: str) -> None:
    """Wait until it is on record where both partitions begin."""
    await until(lambda: {cluster.committed(topic, partition).offset for partition in range(2)} == {0})


async def test_events_are_found_again_that_were_parked_without_being_told_where(cluster: Cluster) -> None:
    """All partitions are assigned again, with the log's positions."""
    cluster.create_for()
    cluster.write(an_event(1), an_event(2))
    async with cluster.following() as follower:
        await follower.read_until("1", "2")
        [entry, _] = follower.entries
        disturb(follower, lost_places)
        with pytest.raises(Fenced):
            await follower.settle(lanes=[parked(entry)], receipts=[a_receipt("2")])
        await until_assigned_anew(follower)
        cluster.write(an_event(3))

        assert await follower.read_until("3") == ["1", "2", "3"]
        assert await follower.recall(entry) == [entry]
    assert cluster.receipts() == [a_receipt("2")]


async def test_settlement_waits_for_what_is_in_its_way(cluster: Cluster) -> None:
    """A settlement that is not in the log yet is retried, and its caller sees no error."""
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        disturb(follower, refused, refused, refused)
        recorded = await follower.settle(receipts=[a_receipt("1")])

        assert recorded.partitions == {*follower.assigned}
    assert cluster.receipts() == [a_receipt("1")]


async def test_receipts_of_what_was_finished_are_written_after_a_partition_is_said_to_move(
    cluster: Cluster,
) -> None:
    """Until the reader asks for more, so that the next owner delivers nothing twice."""
    cluster.create_for(partitions=2)
    for partition in range(2):
        cluster.write(an_event(partition), partition=partition)
    async with cluster.following() as first:
        await first.read_until("0", "1")
        held = dict(first.assigned)
        async with cluster.following() as second:
            while len(first.assigned) == 2:
                await first.step()
            [moved] = held.keys() - first.assigned.keys()
            receipt = a_receipt(str(moved.number))
            await first.feed.settle(
                Settlement(
                    assignment=held[moved],
                    progress={moved: SettledOffsets(next_offset=first.through[moved])},
                    receipts=[receipt],
                )
            )
            async with reading(first):
                await until_assigned(second, 1)
                cluster.write(an_event("new"), partition=moved.number)
                assert await second.read_until("new") == ["new"]

    assert cluster.receipts() == [receipt]


async def test_answer_that_no_broker_takes_is_cut(cluster: Cluster) -> None:
    """A long answer does not make Streamer deliver the event again."""
    cluster.create_for()
    cluster.write(an_event(1))
    talkative = replace(a_receipt("1"), answer={"text": "x" * 5_000_000})
    async with cluster.following() as follower:
        await follower.read_until("1")
        await follower.settle(receipts=[talkative])

    [receipt] = await asyncio.to_thread(cluster.receipts)
    assert receipt == replace(talkative, answer=receipt.answer)
    assert len(str(receipt.answer)) < 21_000


Fault = Callable[[Transactions, Callable[[], Mapping[bytes, int]]], Mapping[bytes, int]]


class Disturbed:
    """Transactions whose first commits each meet a fault.

    While `is_open`, no broker says what became of them.
    """

    def __init__(self, real: Transactions, errors: Sequence[Fault]) -> None:
        """Write by `real` once there are no more `errors`."""
        self._real = real
        self._errors = list(errors)
        self.is_open = False

    def write(self, *args: Any, **kwargs: Any) -> Mapping[bytes, int]:
        """Write, or fail."""
        write = partial(self._real.write, *args, **kwargs)
        return self._errors.pop()(self._real, write) if self._errors else write()

    def decide(self) -> None:
        """See to it that it is decided what became of the last one."""
        if self.is_open:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        self._real.decide()

    def begin(self, timeout_s: float) -> None:
        """Have a producer."""
        self._real.begin(timeout_s)

    def discard(self) -> None:
        """Drop what is not committed."""
        self._real.discard()


def settler_of(follower: Follower) -> KafkaSettler:
    """Return who records for `follower`."""
    settler: KafkaSettler = follower.feed._recall.__self__._context.settler  # type: ignore[attr-defined] # behind the port, on purpose
    return settler


def transactions_of(follower: Follower) -> Transactions:
    """Return by what `follower` writes."""
    return settler_of(follower)._transactions


def disturb(follower: Follower, *errors: Fault) -> Disturbed:
    """Let the next transactions of `follower` meet `errors`."""
    disturbed = Disturbed(transactions_of(follower), errors)
    settler_of(follower)._transactions = disturbed  # type: ignore[assignment] # wraps the real one
    return disturbed


def taken_together(follower: Follower) -> AbstractContextManager[bool]:
    """Let the thread have what is asked for within the context at once."""
    lock: threading.Condition = follower.feed._buffer._changed  # type: ignore[attr-defined] # behind the port, on purpose
    return lock


def lost_answer(real: Transactions, write: Callable[[], Mapping[bytes, int]]) -> Mapping[bytes, int]:
    """Commit, but lose the answer."""
    raise undecided(real, write())


def lost_request(real: Transactions, _: Callable[[], Mapping[bytes, int]]) -> Mapping[bytes, int]:
    """Ask for a commit that never comes to the broker."""
    raise undecided(real, {})


def lost_places(real: Transactions, write: Callable[[], Mapping[bytes, int]]) -> Mapping[bytes, int]:
    """Commit, and hear neither of it nor of its records."""
    write()
    raise undecided(real, {})


def undecided(real: Transactions, written: Mapping[bytes, int]) -> Undecided:
    """Leave the last transaction open."""
    real.discard()
    real._is_undecided = True
    return Undecided(KafkaError(KafkaError._TIMED_OUT), written)


def refused(_: Transactions, __: Callable[[], Mapping[bytes, int]]) -> Mapping[bytes, int]:
    """Refuse the commit: nothing is written."""
    raise NothingWritten(KafkaError(KafkaError.ILLEGAL_GENERATION))


async def until_assigned_anew(follower: Follower) -> None:
    """Read until what is ours now was taken away and given back."""
    [former] = set(follower.assigned.values())
    async with limited("the new assignment"):
        while max(follower.assigned.values(), default=0) <= former:
            with suppress(LogUnavailable):
                await follower.step()
